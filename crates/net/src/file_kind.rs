//! What a file is by its first bytes, so that an error names a file of the wrong kind and what helps.

use std::fmt;

/// How many bytes [`FileKind::of`] needs to recognise every kind.
pub const FILE_KIND_BYTES: usize = 512;

/// A kind of file that people give by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    Tar,
    Zip,
    SevenZip,
    Rar,
    Bzip2,
    Xz,
    Lz4,
    /// pcap or pcapng.
    Capture,
    Sqlite,
    Pdf,
    /// ELF, PE or Mach-O.
    Program,
    Image,
    Utf32,
    /// YAML, JSON, CSV or another text.
    Text,
}

impl FileKind {
    /// The kind of a file that begins with these bytes, `None` for an unknown one. Archives and compressed files come
    /// first; text is what is left and has no control characters.
    pub fn of(bytes: &[u8]) -> Option<FileKind> {
        use FileKind::*;
        let magics: [(&[u8], FileKind); 22] = [
            (b"PK\x03\x04", Zip),
            (b"PK\x05\x06", Zip),
            (b"PK\x07\x08", Zip),
            (b"7z\xbc\xaf\x27\x1c", SevenZip),
            (b"Rar!\x1a\x07", Rar),
            (b"BZh", Bzip2),
            (b"\xfd7zXZ\0", Xz),
            (b"\x04\x22\x4d\x18", Lz4),
            (b"\xa1\xb2\xc3\xd4", Capture),
            (b"\xd4\xc3\xb2\xa1", Capture),
            (b"\xa1\xb2\x3c\x4d", Capture),
            (b"\x4d\x3c\xb2\xa1", Capture),
            (b"\x0a\x0d\x0d\x0a", Capture),
            (b"SQLite format 3\0", Sqlite),
            (b"%PDF-", Pdf),
            (b"\x7fELF", Program),
            (b"MZ", Program),
            (b"\xcf\xfa\xed\xfe", Program),
            (b"\x89PNG", Image),
            (b"\xff\xd8\xff", Image),
            (b"\xff\xfe\0\0", Utf32),
            (b"\0\0\xfe\xff", Utf32),
        ];
        let known = magics.iter().find(|(magic, _)| bytes.starts_with(magic));
        match known {
            Some((_, Program | Bzip2)) if is_text(bytes) => Some(Text),
            Some((_, kind)) => Some(*kind),
            None if is_tar(bytes) => Some(Tar),
            None if is_text(bytes) => Some(Text),
            None => None,
        }
    }

    /// Returns true if captures may be inside: of an archive, or of a compression that is not read.
    pub fn may_hold_captures(self) -> bool {
        use FileKind::*;
        matches!(self, Tar | Zip | SevenZip | Rar | Bzip2 | Xz | Lz4)
    }
}

impl fmt::Display for FileKind {
    /// What it is, and what to do with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Tar => "it is a tar archive; unpack it first (tar -xf), then give the folder",
            FileKind::Zip => "it is a zip archive; unpack it first (unzip), then give the folder",
            FileKind::SevenZip => "it is a 7z archive; unpack it first, then give the folder",
            FileKind::Rar => "it is a rar archive; unpack it first, then give the folder",
            FileKind::Bzip2 => "it is compressed with bzip2; unpack it first (bunzip2): only gzip and zstd are read",
            FileKind::Xz => "it is compressed with xz; unpack it first (unxz): only gzip and zstd are read",
            FileKind::Lz4 => "it is compressed with lz4; unpack it first (unlz4): only gzip and zstd are read",
            FileKind::Capture => "it is a packet capture; give it with --capture",
            FileKind::Sqlite => "it is an SQLite database",
            FileKind::Pdf => "it is a PDF",
            FileKind::Program => "it is a program",
            FileKind::Image => "it is a picture",
            FileKind::Utf32 => "it is text in UTF-32; save it as UTF-8",
            FileKind::Text => "it is text; a snapshot is given with --cluster, a flow log with --flows",
        })
    }
}

/// A tar header has the sum of its bytes in octal digits at 148, with blanks in place of that field (POSIX.1-1988,
/// ustar). Older archives have no other mark.
fn is_tar(bytes: &[u8]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    let Some(header) = bytes.get(..512) else {
        return false;
    };
    let blank_or_byte =
        |(at, byte): (usize, &u8)| u64::from(if SUM.contains(&at) { b' ' } else { *byte });
    let sum: u64 = header.iter().enumerate().map(blank_or_byte).sum();
    let field = &header[SUM];
    let digits = field
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| (b'0'..=b'7').contains(byte));
    let written = digits.fold(None, |sum: Option<u64>, digit| {
        Some(sum.unwrap_or_default() * 8 + u64::from(digit - b'0'))
    });
    header[0] != 0 && written == Some(sum)
}

/// Returns true if the first bytes are text in UTF-8.
fn is_text(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(FILE_KIND_BYTES)];
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // A character may be cut off at the end.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
    };
    let control = |byte: &u8| byte.is_ascii_control() && !b"\t\r\n\x0c".contains(byte);
    valid > 0 && !bytes.iter().any(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(magic: &[u8]) -> Vec<u8> {
        let mut header = vec![0u8; 512];
        header[..8].copy_from_slice(b"cap.pcap");
        header[124..135].copy_from_slice(b"00000001000");
        header[257..257 + magic.len()].copy_from_slice(magic);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        header
    }

    #[test]
    fn an_archive_is_recognised_with_and_without_a_mark_of_its_own() {
        assert_eq!(FileKind::of(&tar(b"ustar\0")), Some(FileKind::Tar));
        assert_eq!(FileKind::of(&tar(b"")), Some(FileKind::Tar));
        assert_eq!(FileKind::of(b"PK\x03\x04rest"), Some(FileKind::Zip));
        let mut damaged = tar(b"ustar\0");
        damaged[0] = b'd';
        assert_eq!(FileKind::of(&damaged), None);
        assert_eq!(FileKind::of(&[0; 512]), None);
    }

    #[test]
    fn text_is_what_has_no_control_characters() {
        for text in ["kind: Pod\r\n", "{\"a\": 1}", "MZ: a key", "é"] {
            assert_eq!(
                FileKind::of(text.as_bytes()),
                Some(FileKind::Text),
                "{text}"
            );
        }
        assert_eq!(
            FileKind::of("aé".as_bytes().split_at(2).0),
            Some(FileKind::Text)
        );
        assert_eq!(FileKind::of(b""), None);
        assert_eq!(FileKind::of(b"\x01\x02\x03\x04"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_kind_or_none(bytes: Vec<u8>) {
            let _ = FileKind::of(&bytes);
        }
    }
}
