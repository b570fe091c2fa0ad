//! What the compiler makes of `proto/`: message types, clients, server traits, descriptors. The comments are the API
//! reference, which is written for readers of the proto files.

/// The package `tasktally.v1`.
#[allow(clippy::all, rustdoc::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tasktally.v1.rs"));
}

pub use prost_types::{Duration, Timestamp};

/// The descriptors of the contract, with comments and every import: an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tasktally.v1.descriptors"));

/// The descriptors of the error details (`google.rpc`), with every import: without them a client that goes by
/// reflection, such as grpcurl, cannot print the details of an error.
pub const ERROR_DESCRIPTORS: &[u8] = tonic_types::pb::FILE_DESCRIPTOR_SET;
