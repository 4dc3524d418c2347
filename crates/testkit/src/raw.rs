//! HTTP by hand, for requests that no client library would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::Answer;

/// Sends bytes as they are and reads until the server closes; ask for that with `Connection: close`.
///
/// # Panics
/// When no HTTP answer comes back within 30 s.
#[must_use]
pub fn raw(to: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(to).expect("a connection");
    let bound = Some(Duration::from_secs(30));
    stream.set_read_timeout(bound).expect("a time limit");
    stream
        .write_all(request.as_bytes())
        .expect("a request sent");
    let mut bytes = Vec::new();
    // The server may close with a reset where it did not read all that was sent.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .unwrap_or_else(|| panic!("no HTTP answer but {text:?}"));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_str(value.trim()).expect("a header's value");
        headers.append(name, value);
    }
    Answer {
        asked: request.lines().take(2).collect::<Vec<_>>().join(" "),
        status,
        headers,
        text: body.to_owned(),
    }
}
