//! Segmentation: a super-packet becomes the packets that it stands for.
