//! The network interfaces, and events of those that appear or vanish (rtnetlink(7), RTNLGRP_LINK).

use super::live_source::LiveError;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub name: String,
    /// "veth", "bridge", "dummy" …; empty for hardware.
    pub kind: String,
    pub loopback: bool,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkEvent {
    Present(u32, Link),
    Gone(u32),
    /// The end of a list.
    Done,
    /// The kernel refuses, with this errno.
    Failed(i32),
}

/// What has changed since the last call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LinkChanges {
    /// Interfaces that appeared or vanished.
    pub appeared_or_vanished: bool,
    /// Those, or names that changed.
    pub any: bool,
}

/// Knows the interfaces of the network namespace in which it was opened.
pub(super) struct LinkTable {
    socket: Socket,
    links: BTreeMap<u32, Link>,
    /// While a list comes in: those that are in it.
    listed: Option<BTreeMap<u32, Link>>,
}

const HEADER: usize = 16;
const INFO: usize = 16;

impl LinkTable {
    /// # Errors
    /// When the kernel gives no route socket, or no list of interfaces.
    pub fn open() -> Result<LinkTable, LiveError> {
        let fail = |source| LiveError {
            action: "list network interfaces".to_owned(),
            remedy: None,
            source,
        };
        LinkTable::try_open().map_err(fail)
    }

    fn try_open() -> io::Result<LinkTable> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, libc::RTMGRP_LINK as u32))?;
        let mut links = LinkTable {
            socket,
            links: BTreeMap::new(),
            listed: None,
        };
        links.ask()?;
        // The first list is waited for: without it nothing can be chosen.
        while links.listed.is_some() {
            links.read_one(&mut LinkChanges::default())?;
        }
        links.socket.set_non_blocking(true)?;
        Ok(links)
    }

    pub fn all(&self) -> &BTreeMap<u32, Link> {
        &self.links
    }

    /// Processes the messages that have come.
    pub fn read(&mut self) -> io::Result<LinkChanges> {
        let mut changes = LinkChanges::default();
        loop {
            match self.read_one(&mut changes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Messages were lost: a list shows the current interfaces.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.ask()?,
                Err(error) => return Err(error),
            }
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        self.listed = Some(BTreeMap::new());
        self.socket
            .send(&dump_request::<{ HEADER + INFO }>(libc::RTM_GETLINK), 0)?;
        Ok(())
    }

    fn read_one(&mut self, changes: &mut LinkChanges) -> io::Result<()> {
        let (bytes, _) = self.socket.recv_from_full()?;
        for event in parse_links(&bytes) {
            match event {
                LinkEvent::Present(index, link) => self.there(index, link, changes),
                LinkEvent::Gone(index) => {
                    if let Some(listed) = &mut self.listed {
                        listed.remove(&index);
                    }
                    if self.links.remove(&index).is_some() {
                        (changes.any, changes.appeared_or_vanished) = (true, true);
                    }
                }
                LinkEvent::Done => self.listed(changes),
                LinkEvent::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
        Ok(())
    }

    fn there(&mut self, index: u32, link: Link, changes: &mut LinkChanges) {
        if let Some(listed) = &mut self.listed {
            listed.insert(index, link.clone());
        }
        let before = self.links.insert(index, link.clone());
        changes.appeared_or_vanished |= before.is_none();
        changes.any |= before.is_none_or(|before| before != link);
    }

    /// A list is complete: what is not in it is gone.
    fn listed(&mut self, changes: &mut LinkChanges) {
        let Some(listed) = self.listed.take() else {
            return;
        };
        let gone = self.links.keys().any(|index| !listed.contains_key(index));
        changes.appeared_or_vanished |= gone;
        changes.any |= gone;
        self.links = listed;
    }
}

impl AsRawFd for LinkTable {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A request for a whole list: RTM_GETLINK, RTM_GETADDR. `N` is the size of the header and of the body.
pub(super) fn dump_request<const N: usize>(kind: u16) -> [u8; N] {
    let mut bytes = [0; N];
    let length = N as u32;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// The messages in a datagram of the route socket. Ends early where they contradict themselves.
pub(super) fn parse_links(mut bytes: &[u8]) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    while let Some((kind, body, rest)) = parse_message(bytes) {
        bytes = rest;
        match i32::from(kind) {
            libc::NLMSG_DONE => events.push(LinkEvent::Done),
            libc::NLMSG_ERROR => {
                let errno = body
                    .first_chunk()
                    .map_or(0, |word| i32::from_ne_bytes(*word));
                if errno != 0 {
                    events.push(LinkEvent::Failed(errno.saturating_neg()));
                }
            }
            _ if kind == libc::RTM_NEWLINK => events.extend(parse_link(body)),
            // Of a bridge's port that leaves the bridge (family AF_BRIDGE) the interface itself stays.
            _ if kind == libc::RTM_DELLINK && body.first() == Some(&0) => {
                events.extend(index(body).map(LinkEvent::Gone));
            }
            _ => {}
        }
    }
    events
}

/// Type and body of the first message, and what comes behind it.
pub(super) fn parse_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((kind, body, rest))
}

fn index(body: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*body.get(4..)?.first_chunk()?))
}

fn parse_link(body: &[u8]) -> Option<LinkEvent> {
    if *body.first()? != 0 {
        return None;
    }
    let flags = u32::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    let mut link = Link {
        name: String::new(),
        kind: String::new(),
        loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
    };
    for (kind, value) in attributes(body.get(INFO..)?) {
        if kind == libc::IFLA_IFNAME {
            link.name = text(value);
        } else if kind == libc::IFLA_LINKINFO {
            let info = attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
            link.kind = info.map_or(String::new(), |(_, value)| text(value));
        }
    }
    Some(LinkEvent::Present(index(body)?, link))
}

/// Attributes (netlink(7)): length, type, value, each padded to four bytes.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        // The two highest bits are flags.
        Some((kind & 0x3fff, value))
    })
}

fn text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or(&[])).into_owned()
}

/// The bytes of netlink messages, for tests.
#[cfg(test)]
pub(super) mod bytes {
    pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    pub fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::{attribute, message};
    use super::*;
    use proptest::prelude::*;

    fn link(index: u32, flags: u32, name: &str, kind: &str) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(libc::IFLA_IFNAME, format!("{name}\0").as_bytes()));
        body.extend(attribute(
            libc::IFLA_LINKINFO,
            &attribute(libc::IFLA_INFO_KIND, kind.as_bytes()),
        ));
        body
    }

    #[test]
    fn links_are_read_with_name_and_kind() {
        let bytes = [
            message(libc::RTM_NEWLINK, &link(7, 0, "veth12", "veth")),
            message(libc::RTM_DELLINK, &link(8, 0, "x", "")),
            message(libc::NLMSG_DONE as u16, &[0; 4]),
        ]
        .concat();
        let veth = Link {
            name: "veth12".to_owned(),
            kind: "veth".to_owned(),
            loopback: false,
        };
        assert_eq!(
            parse_links(&bytes),
            [
                LinkEvent::Present(7, veth),
                LinkEvent::Gone(8),
                LinkEvent::Done
            ]
        );
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        let mut body = link(8, 0, "x", "");
        body[0] = libc::AF_BRIDGE as u8;
        assert!(parse_links(&message(libc::RTM_DELLINK, &body)).is_empty());
    }

    #[test]
    fn a_refusal_is_an_error() {
        let body = (-libc::EPERM).to_ne_bytes();
        assert_eq!(
            parse_links(&message(libc::NLMSG_ERROR as u16, &body)),
            [LinkEvent::Failed(libc::EPERM)]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            parse_links(&bytes);
        }

        #[test]
        fn damaged_messages_are_survived(at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
            let mut bytes = [
                message(libc::RTM_NEWLINK, &link(7, 0, "veth12", "veth")),
                message(libc::RTM_NEWLINK, &link(8, 8, "lo", "")),
            ]
            .concat();
            let place = at.index(bytes.len());
            bytes[place] = value;
            bytes.truncate(cut.index(bytes.len() + 1));
            prop_assert!(parse_links(&bytes).len() <= bytes.len());
        }
    }
}
