//! The header before a packet of a virtio network device (virtio 1.2, 5.1.6).
