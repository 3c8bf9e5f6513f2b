//! A folder by its descriptor. Names are looked up in it one by one, and no link is followed on the way: whoever can
//! put a link into the folder cannot make nanoseg read or write elsewhere (rule: folder-follows-no-link). The same as
//! `openat` with `O_NOFOLLOW` in <https://man7.org/linux/man-pages/man2/openat.2.html>.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, fstat, fsync, mkdirat, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::path::{Component, Path};

/// How much of a directory is read at a time.
const BUFFER: usize = 8 << 10;

/// An open folder.
#[derive(Debug)]
pub struct Place(OwnedFd);

/// Whether something else than a folder was where one should be.
pub fn is_no_folder(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOTDIR | Errno::LOOP)
    )
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

impl Place {
    /// Opens a folder by its path, which may lead through links: it is what the operator named.
    pub fn open(path: &Path) -> io::Result<Place> {
        Ok(Place(openat(CWD, path, flags(), Mode::empty())?))
    }

    /// Opens a folder in this one. `None`: nothing of that name is there.
    ///
    /// # Errors
    /// Something else than a folder is there, such as a link to one.
    pub fn folder(&self, name: &str) -> io::Result<Option<Place>> {
        match openat(&self.0, name, flags() | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Place(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, and makes the folder if nothing is there.
    pub fn folder_or_new(&self, name: &str) -> io::Result<Place> {
        for _ in 0..2 {
            if let Some(folder) = self.folder(name)? {
                return Ok(folder);
            }
            match mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => self.sync()?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::NOENT.into())
    }

    /// Makes a folder that nobody else may enter. False: something of that name is there.
    pub fn make_private(&self, name: &str) -> io::Result<bool> {
        match mkdirat(&self.0, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What is there under a name.
    pub fn kind(&self, name: &str) -> io::Result<Option<FileType>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The content of a plain file; `None` if there is none of that name.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            // Nothing, a link, or a socket or device without a reader.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut content = Vec::new();
        File::from(fd).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Writes a file that is not there yet; when this returns its content is on the disk.
    pub fn create(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?;
        let mut file = File::from(fd);
        file.write_all(content)?;
        file.sync_all()
    }

    /// Gives a file of this folder another name and place; what is there is replaced, also if it is a link.
    pub fn rename(&self, name: &str, place: &Place, new: &str) -> io::Result<()> {
        Ok(renameat(&self.0, name, &place.0, new)?)
    }

    /// Removes a file, or a link; false if it was not there.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        self.unlink(name, AtFlags::empty())
    }

    /// Removes an empty folder; false if it was not there.
    pub fn remove_folder(&self, name: &str) -> io::Result<bool> {
        self.unlink(name, AtFlags::REMOVEDIR)
    }

    fn unlink(&self, name: &str, flags: AtFlags) -> io::Result<bool> {
        match unlinkat(&self.0, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in it that are text, in order.
    pub fn names(&self) -> io::Result<Vec<String>> {
        // Read from the beginning, whoever read before.
        let again = openat(&self.0, ".", flags(), Mode::empty())?;
        let mut buffer = [const { MaybeUninit::uninit() }; BUFFER];
        let mut entries = RawDir::new(again.as_fd(), &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            match entry?.file_name().to_str() {
                Ok(".." | ".") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort();
        Ok(names)
    }

    /// Puts the names in it on the disk, where the file system can do that for a folder.
    pub fn sync(&self) -> io::Result<()> {
        match fsync(&self.0) {
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps others that ask for the same away, as long as this value lives. False: somebody else does. A file system
    /// without locks keeps nobody away.
    pub fn lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the folder that `path` is in, and returns it with the last part; `None` if a part of the way is missing.
    pub fn parent<'p>(&self, path: &'p Path) -> io::Result<Option<(Place, &'p str)>> {
        self.walk(path, |place, name| place.folder(name))
    }

    /// The same, and makes the folders that are missing.
    pub fn parent_or_new<'p>(&self, path: &'p Path) -> io::Result<Option<(Place, &'p str)>> {
        self.walk(path, |place, name| place.folder_or_new(name).map(Some))
    }

    fn walk<'p>(
        &self,
        path: &'p Path,
        step: impl Fn(&Place, &str) -> io::Result<Option<Place>>,
    ) -> io::Result<Option<(Place, &'p str)>> {
        let mut here = Place(openat(&self.0, ".", flags(), Mode::empty())?);
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let Component::Normal(name) = part else {
                return Err(Errno::INVAL.into());
            };
            let name = name.to_str().ok_or(Errno::INVAL)?;
            if parts.peek().is_none() {
                return Ok(Some((here, name)));
            }
            let Some(next) = step(&here, name)? else {
                return Ok(None);
            };
            here = next;
        }
        Err(Errno::INVAL.into())
    }
}
