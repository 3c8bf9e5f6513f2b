//! Sources of bytes: files and standard input, decompressed by their magic numbers.

use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;
use nanoseg_net::FILE_KIND_BYTES;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::rc::Rc;

/// How much is read from a compressed file at once.
const COMPRESSED_CHUNK: usize = 64 << 10;

/// A source of capture bytes, decompressed.
pub(super) type Source = Box<dyn Read>;

/// Counts the bytes as they are on the disk, for the progress bar.
pub(super) struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// Chooses the decompressor by the first bytes of `raw`.
pub(super) fn decompressed(raw: impl Read + 'static, count: Rc<Cell<u64>>) -> io::Result<Source> {
    let mut raw = Counted { inner: raw, count };
    let mut magic = [0u8; 4];
    let mut have = 0;
    while have < magic.len() {
        match raw.read(&mut magic[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let whole = io::Cursor::new(magic).take(have as u64).chain(raw);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(
            COMPRESSED_CHUNK,
            whole,
        ))),
        // A Zstandard frame or a skippable one before it (RFC 8878 section 3.1).
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(Zstd::new(BufReader::with_capacity(COMPRESSED_CHUNK, whole)))
        }
        _ => Box::new(whole),
    })
}

/// An error that comes after what was read before it.
struct Failure(Option<io::Error>);

impl Read for Failure {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// As [`decompressed`], for text: UTF-16, as PowerShell's `>` writes it, becomes UTF-8. Without a byte-order mark the
/// zero byte of the first character decides (rule: text-in-utf-16).
pub(super) fn decompressed_text(
    raw: impl Read + 'static,
    count: Rc<Cell<u64>>,
) -> io::Result<Source> {
    let mut source = decompressed(raw, count)?;
    let mut start = Vec::new();
    let read = source
        .by_ref()
        .take(FILE_KIND_BYTES as u64)
        .read_to_end(&mut start);
    let failure = match read {
        Err(error) if start.is_empty() => return Err(error),
        other => Failure(other.err()),
    };
    let unmarked = match start.as_slice() {
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some(encoding_rs::UTF_16BE),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some(encoding_rs::UTF_16LE),
        _ => None,
    };
    let whole = io::Cursor::new(start).chain(failure).chain(source);
    let mut text = DecodeReaderBytesBuilder::new();
    text.encoding(unmarked).utf8_passthru(true).strip_bom(true);
    Ok(Box::new(text.build(whole)))
}

/// Zstandard with any number of frames in a row, which is what `zstd` and concatenation make.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
    /// What ended the input early; reported after all that was decoded before it.
    failure: Option<io::Error>,
}

/// A frame's end: an empty last block (RFC 8878 section 3.1.1.2) and room for a checksum, which the
/// decoder does not compare. Fed to it after the end of a cut input, it releases the window that the decoder holds back.
const FRAME_END: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Zstd {
            source,
            decoder: FrameDecoder::new(),
            in_frame: false,
            failure: None,
        }
    }

    /// Starts the next frame; false at the end of the input.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(
                        &mut self.source.by_ref().take(length.into()),
                        &mut io::sink(),
                    )?;
                }
                Err(error) => return Err(self.as_io(error)),
            }
        }
    }

    /// Distinguishes an input that ended from one that is damaged.
    fn as_io(&mut self, error: FrameDecoderError) -> io::Error {
        let ended = self.source.fill_buf().is_ok_and(|rest| rest.is_empty());
        let kind = if ended {
            ErrorKind::UnexpectedEof
        } else {
            ErrorKind::InvalidData
        };
        io::Error::new(kind, error)
    }

    /// Decodes one block, so that everything that a killed writer left is returned.
    fn next_block(&mut self) {
        use BlockDecodingStrategy::UptoBlocks;
        if let Err(error) = self.decoder.decode_blocks(&mut self.source, UptoBlocks(1)) {
            self.failure = Some(self.as_io(error));
            if self
                .decoder
                .decode_blocks(FRAME_END, UptoBlocks(1))
                .is_err()
            {
                self.in_frame = false;
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if self.in_frame && self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            if self.in_frame && !self.decoder.is_finished() {
                self.next_block();
                continue;
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if !self.next_frame()? {
                return Ok(0);
            }
            self.in_frame = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    fn read_all(bytes: Vec<u8>) -> (Vec<u8>, io::Result<usize>) {
        let mut out = Vec::new();
        let mut source = decompressed(io::Cursor::new(bytes), Rc::default()).unwrap();
        let end = source.read_to_end(&mut out);
        (out, end)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 28) as u8
            })
            .collect()
    }

    #[test]
    fn compressed_members_and_frames_in_a_row_are_all_read() {
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
            let bytes = [pack(b"one, "), pack(b"two")].concat();
            assert_eq!(read_all(bytes).0, b"one, two");
        }
        let skippable = [
            &[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..],
            b"abc",
            &zstd(b"x"),
        ]
        .concat();
        assert_eq!(read_all(skippable).0, b"x");
    }

    #[test]
    fn a_compressed_stream_that_was_cut_yields_what_comes_before_the_cut() {
        let plain = noise(1 << 20);
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
            let whole = pack(&plain);
            let (out, end) = read_all(whole[..whole.len() * 3 / 4].to_vec());
            assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            assert!(
                out.len() > plain.len() / 2,
                "{} of {}",
                out.len(),
                plain.len()
            );
            assert_eq!(out, plain[..out.len()]);
        }
    }

    fn text_of(bytes: Vec<u8>) -> String {
        let mut text = String::new();
        let mut source = decompressed_text(io::Cursor::new(bytes), Rc::default()).unwrap();
        source.read_to_string(&mut text).unwrap();
        text
    }

    fn utf_16(text: &str, big_endian: bool, marked: bool) -> Vec<u8> {
        let mark = marked.then_some(0xfeff);
        let units = mark.into_iter().chain(text.encode_utf16());
        let bytes = |unit: u16| {
            if big_endian {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        };
        units.flat_map(bytes).collect()
    }

    proptest::proptest! {
        #[test]
        fn text_is_the_same_in_utf_8_and_utf_16_of_both_orders(text in "\\{\"[a-zé☃😀\r\n]{0,3000}", marked: bool, big: bool) {
            proptest::prop_assert_eq!(&text_of(utf_16(&text, big, marked)), &text);
            proptest::prop_assert_eq!(&text_of(gzip(&utf_16(&text, big, marked))), &text);
            proptest::prop_assert_eq!(&text_of(text.clone().into_bytes()), &text);
            let marked = ["\u{feff}", &text].concat();
            proptest::prop_assert_eq!(&text_of(marked.into_bytes()), &text);
        }
    }

    #[test]
    fn what_is_not_compressed_is_returned_as_it_is() {
        for bytes in [&b""[..], b"a", b"plain text"] {
            assert_eq!(read_all(bytes.to_vec()).0, bytes);
        }
    }
}
