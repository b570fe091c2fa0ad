//! What grpcurl and its like ask first: which services there are, and what they say.

use tonic_reflection::server::{Builder, v1, v1alpha};

use super::proto;

/// Both versions of the reflection service, over the contract, the error details and the health service.
///
/// # Errors
/// A descriptor set that this build embeds is not one.
#[allow(clippy::type_complexity)] // The library names its services by what is inside them.
pub fn services() -> Result<
    (
        v1::ServerReflectionServer<impl v1::ServerReflection>,
        v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
    ),
    tonic_reflection::server::Error,
> {
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}

fn builder<'a>() -> Builder<'a> {
    Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(proto::ERROR_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Each version lists both, whichever a client asks.
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false)
}
