//! Compiles the contract in `proto/` into message types, clients, server traits and the descriptor set that reflection
//! serves. Nothing need be installed: protox is a protobuf compiler in Rust.

use std::path::PathBuf;
use std::{env, fs};

use prost_build::{Config, Method, Service, ServiceGenerator};
use tonic_build::{CodeGenBuilder, manual};

const FILES: [&str; 6] = [
    "tasktally/v1/event.proto",
    "tasktally/v1/statistics.proto",
    "tasktally/v1/ingest_service.proto",
    "tasktally/v1/statistics_service.proto",
    "tasktally/v1/dead_letter.proto",
    "tasktally/v1/admin_service.proto",
];

/// Methods whose server side answers with messages encoded ahead: so that one encoding serves many callers, or because it
/// writes them itself.
const ANSWERED_ENCODED: [&str; 4] = ["WatchRealtime", "WatchStatistics", "GetRealtime", "GetCumulative"];

/// Methods whose server side reads its messages itself, off the wire.
const READ_OFF_THE_WIRE: [&str; 2] = ["IngestEvents", "StreamEvents"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("tasktally.v1.descriptors"), compiler.encode_file_descriptor_set())?;

    Config::new()
        // Maps in key order: equal answers are equal bytes.
        .btree_map(["."])
        .service_generator(Box::new(Stubs))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Writes a client and a server trait for each service. Both come from the proto alone; only the codecs and the answer
/// types of the server side are ours.
struct Stubs;

impl ServiceGenerator for Stubs {
    fn generate(&mut self, service: Service, code: &mut String) {
        let builder = CodeGenBuilder::new();
        code.push_str(&builder.generate_client(&stub(&service, client_method), "").to_string());
        code.push_str(&builder.generate_server(&stub(&service, server_method), "").to_string());
    }
}

fn stub(service: &Service, types: fn(&Method) -> Types) -> manual::Service {
    let builder = manual::Service::builder().name(&service.name).package(&service.package);
    let builder = service.comments.leading.iter().fold(builder, |builder, line| builder.comment(line));
    service.methods.iter().fold(builder, |builder, method| builder.method(stub_method(method, types(method)))).build()
}

fn stub_method(method: &Method, Types { input, output, codec }: Types) -> manual::Method {
    let mut builder = manual::Method::builder()
        .name(&method.name)
        .route_name(&method.proto_name)
        .input_type(input)
        .output_type(output)
        .codec_path(codec);
    if method.client_streaming {
        builder = builder.client_streaming();
    }
    if method.server_streaming {
        builder = builder.server_streaming();
    }
    method.comments.leading.iter().fold(builder, |builder, line| builder.comment(line)).build()
}

/// What a method takes and gives, and how it lies on the wire.
struct Types {
    input: String,
    output: String,
    codec: &'static str,
}

fn client_method(method: &Method) -> Types {
    let (input, output) = (format!("super::{}", method.input_type), format!("super::{}", method.output_type));
    Types { input, output, codec: "tonic_prost::ProstCodec" }
}

fn server_method(method: &Method) -> Types {
    let types = client_method(method);
    let encoded = || "crate::api::codec::Encoded".to_owned();
    if ANSWERED_ENCODED.contains(&method.proto_name.as_str()) {
        Types { output: encoded(), codec: "crate::api::codec::EncodedCodec", ..types }
    } else if READ_OFF_THE_WIRE.contains(&method.proto_name.as_str()) {
        Types { input: encoded(), codec: "crate::api::codec::UnreadCodec", ..types }
    } else {
        Types { codec: "crate::api::codec::MessageCodec", ..types }
    }
}
