//! The one buffer between a source of bytes and the parser: packets are borrowed from it in place.

use std::io::{self, ErrorKind, Read};

/// A record longer than this is taken for damage. Segmentation offload and BIG TCP make frames of
/// up to 512 KiB, pcapng name and secrets blocks some MiB.
pub(super) const MAX_RECORD: usize = 32 << 20;

/// Bytes read and not yet consumed. Grows only for a record that is longer than the buffer.
pub(super) struct ReadBuffer<R> {
    source: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// The outcome of [`ReadBuffer::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Enough,
    /// The source ended first; the bytes before its end may be used.
    Ended,
}

impl<R: Read> ReadBuffer<R> {
    pub fn new(source: R, capacity: usize) -> Self {
        ReadBuffer {
            source,
            bytes: vec![0; capacity],
            start: 0,
            end: 0,
        }
    }

    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Marks the first `count` bytes as used.
    #[inline(always)]
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Reads until at least `wanted` bytes are there, and no more often than that takes, so that a
    /// live stream is processed as it comes.
    pub fn fill(&mut self, wanted: usize) -> io::Result<Filled> {
        if wanted > self.bytes.len() - self.start {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if wanted > self.bytes.len() {
            self.bytes.resize(wanted.min(MAX_RECORD + 64), 0);
        }
        while self.end - self.start < wanted {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => return Ok(Filled::Ended),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Filled::Enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let [first, rest @ ..] = self.0 else {
                return Ok(0);
            };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn a_record_longer_than_the_buffer_makes_it_grow() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut buffer = ReadBuffer::new(Trickle(&bytes), 8);
        assert_eq!(buffer.fill(6).unwrap(), Filled::Enough);
        buffer.consume(5);
        assert_eq!(buffer.fill(50).unwrap(), Filled::Enough);
        assert_eq!(buffer.data(), &bytes[5..55]);
        assert_eq!(buffer.fill(96).unwrap(), Filled::Ended);
        assert_eq!(buffer.data(), &bytes[5..]);
    }
}
