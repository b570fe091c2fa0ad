//! HTTP/1 as bytes: what no library would send, and answers as they came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::HANG;

/// An answer, its body without the framing of chunks.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The one header of this name, in lower case; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        let value = found.next().map_or("", |(_, value)| value);
        assert!(found.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// That this is TaskRouter's error of this status and code, and nothing else; answers its message.
    pub fn problem(&self, status: u16, code: u64) -> String {
        let json = self.json();
        assert_eq!((self.status, &json["code"]), (status, &code.into()), "{json}");
        assert_eq!(json["status"], status, "{json}");
        assert_eq!(json["more_info"], format!("https://www.twilio.com/docs/errors/{code}"), "{json}");
        assert_eq!(json.as_object().unwrap().len(), 4, "{json}");
        json["message"].as_str().unwrap().to_owned()
    }
}

/// Asks for this path with GET.
pub fn get(address: &str, path: &str, headers: &[&str]) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1"), headers, b"")
}

/// Sends this request line, these header lines and this body.
pub fn ask(address: &str, line: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = connect(address);
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("{line}\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
    // A server that refuses may answer and close before it has read everything.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut lines = BufReader::new(stream);
    let (status, headers) = head_of(&mut lines);
    let mut body = Vec::new();
    let read = lines.read_to_end(&mut body);
    let mut answer = Answer { status, headers, body };
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = unchunked(&answer.body);
    }
    assert!(read.is_ok(), "{read:?} after {answer:?}");
    answer
}

pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream
}

/// The status and the headers, their names in lower case.
pub fn head_of(lines: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {line:?}")).parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        lines.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { return (status, headers) };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
}

fn unchunked(mut text: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = text.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&text[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&text[end + 2..end + 2 + size]);
        text = &text[end + 2 + size + 2..];
    }
}
