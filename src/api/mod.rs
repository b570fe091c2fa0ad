//! The wire: the only room that knows tonic and prost.

pub mod codec;
pub mod decode;
pub mod proto;
