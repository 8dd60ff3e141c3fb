//! Receive collation: packets of a flow that follow one another travel as one super-packet.
