//! TaskRouter's forms over HTTP, from the real binary.

mod common;

mod http {
    mod browsers;
    mod caching;
    mod grpc_web;
    mod malformed;
    mod refusals;
    mod resources;
    mod stream;
}
