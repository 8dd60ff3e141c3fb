//! Capture files: pcap and pcapng reading and writing.
