//! Frames between parent and worker, with descriptors.
