//! Who is at the other end of a connection.
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
};

/// The other end of the connection that a request came on; an extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub certificate: PeerCertificate,
}

impl From<SocketAddr> for Peer {
    /// A peer without TLS.
    fn from(address: SocketAddr) -> Self {
        Self { address, certificate: PeerCertificate::default() }
    }
}

/// The certificate that a peer has proved to be its own, verified against the authorities that the server trusts. An
/// acceptor hands it out empty and fills it once the handshake is done, which is before the first request.
#[derive(Clone, Default)]
pub struct PeerCertificate(Option<Arc<OnceLock<Box<[u8]>>>>);

impl PeerCertificate {
    /// One that is to be filled.
    pub fn awaited() -> Self {
        Self(Some(Arc::new(OnceLock::new())))
    }

    /// The peer's own certificate (the leaf), in DER; none without TLS, or where the client showed none.
    pub fn der(&self) -> Option<&[u8]> {
        self.0.as_ref()?.get().map(|der| &**der)
    }

    /// What the handshake has verified. Only an awaited one can learn, and only once.
    pub fn learn(&self, der: &[u8]) {
        if let Some(cell) = &self.0 {
            let _ = cell.set(der.into());
        }
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({} bytes)", self.der().map_or(0, <[u8]>::len))
    }
}

/// The network that a peer is counted by: its address, or, in IPv6, the /64 that it has to itself. An IPv4 address in
/// IPv6 clothes is one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(v6.to_bits() & (u128::from(u64::MAX) << 64)).into(),
    }
}
