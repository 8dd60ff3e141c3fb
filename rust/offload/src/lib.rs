//! The half of packet size that is about travelling as one: packets of a flow that arrive one after the other become a
//! super-packet ([`collate`]), and a super-packet becomes packets again ([`segment`]). How a port or a virtual machine
//! says what it takes stands in [`features`] and [`virtio`].
#![forbid(unsafe_code)]

pub mod collate;
pub mod features;
pub mod segment;
pub mod virtio;
