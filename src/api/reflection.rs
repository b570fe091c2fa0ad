//! What grpcurl and its like ask first: which services there are, and what they say.

use prost_reflect::DescriptorPool;
use tonic_reflection::server::{Builder, v1, v1alpha};

use super::proto;

/// A method of a service that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    pub service: String,
    pub name: String,
    pub takes_stream: bool,
    pub gives_stream: bool,
}

/// The methods of the contract, of health and of reflection.
pub fn methods() -> Vec<Method> {
    let sets = [
        proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let pools = sets.into_iter().filter_map(|set| DescriptorPool::decode(set).ok());
    let methods = pools.flat_map(|pool| {
        let services: Vec<_> = pool.services().collect();
        services.into_iter().flat_map(|service| {
            let methods: Vec<_> = service.methods().collect();
            methods.into_iter().map(move |method| Method {
                service: service.full_name().to_owned(),
                name: method.name().to_owned(),
                takes_stream: method.is_client_streaming(),
                gives_stream: method.is_server_streaming(),
            })
        })
    });
    methods.collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_named_with_what_it_streams() {
        let methods = methods();
        let of =
            |name: &str| methods.iter().find(|method| method.name == name).map(|it| (it.takes_stream, it.gives_stream));
        assert_eq!(of("IngestEvents"), Some((false, false)));
        assert_eq!(of("StreamEvents"), Some((true, true)));
        assert_eq!(of("WatchRealtime"), Some((false, true)));
        assert_eq!(of("Check"), Some((false, false)));
        assert_eq!(methods.iter().filter(|method| method.name == "ServerReflectionInfo").count(), 2);
    }
}
