//! SHA-256 as text.

use ring::digest::{Context, SHA256, digest};
use std::io::{self, Read};

/// The SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    text(digest(&SHA256, bytes).as_ref())
}

/// The same of what is read, piece by piece.
///
/// # Errors
/// It cannot be read.
pub fn sha256_hex_of(mut source: impl Read) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut piece = [0; 16 << 10];
    loop {
        let read = match source.read(&mut piece) {
            Ok(0) => return Ok(text(context.finish().as_ref())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        context.update(piece.get(..read).unwrap_or_default());
    }
}

fn text(digest: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest {
        text.push(hex(byte >> 4));
        text.push(hex(byte & 15));
    }
    text
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}
