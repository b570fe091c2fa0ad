//! Bodies for those who take gzip.
//!
//! Answers are written whole, so that one call compresses one; a layer around every route would cost each call more than
//! writing its answer does.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Below, an answer is one packet either way.
const COMPRESSED_FROM_BYTES: usize = 1024;

/// Whether a caller says that it takes gzip. Other words, such as the `utf-8` of a library, ask for nothing.
pub fn is_taken(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused(parameters)
    })
}

/// A weight of zero, or one that is none.
fn is_refused(parameters: &str) -> bool {
    let weights = parameters.split(';').filter_map(|parameter| parameter.trim().strip_prefix("q="));
    weights.map(|weight| weight.trim().parse::<f32>()).any(|weight| weight.is_ok_and(|weight| weight <= 0.0))
}

/// The text compressed, where that is worth it.
pub fn packed(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() < COMPRESSED_FROM_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 2), Compression::fast());
    encoder.write_all(text).and_then(|()| encoder.finish()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_by_those_who_say_so() {
        let taken = |value: &'static str| is_taken(&HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]));
        for yes in ["gzip", "gzip, deflate, br", "br;q=1.0, GZIP;q=0.8, *;q=0.1", "identity,gzip ; q=1"] {
            assert!(taken(yes), "{yes}");
        }
        for no in ["", "utf-8", "identity", "gzip;q=0", "gzip; q=0.000", "xgzip", "*"] {
            assert!(!taken(no), "{no}");
        }
        assert!(!is_taken(&HeaderMap::new()));
    }
}
