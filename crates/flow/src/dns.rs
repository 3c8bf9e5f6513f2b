//! DNS answers (RFC 1035 section 4): which name an address was looked up under.

use super::{NameTable, NamedBy, Question, Questions};
use nanoseg_net::{Timestamp, canonical_address};
use std::net::{IpAddr, SocketAddr};

/// A name has at most this many bytes in presentation form (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;
/// Compression pointers followed in one name; real names need one or two, bombs thousands.
const MAX_POINTERS: usize = 16;
/// Answers read from one message, and aliases followed.
const MAX_ANSWERS: usize = 128;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What was wrong with a message on a DNS port. Nothing of it is believed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotDns;

/// An answer record that matters here.
struct AddressAnswer {
    owner: String,
    ttl: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    Alias(String),
}

/// One DNS message on its way.
#[derive(Debug, Clone, Copy)]
pub struct DnsMessage<'a> {
    pub bytes: &'a [u8],
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub over_tcp: bool,
    pub at: Timestamp,
}

/// What a message taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A question that may be answered later, or something else that names nothing.
    Nothing,
    /// So many addresses got a name.
    Names(usize),
    /// An answer with addresses to a question that was not seen: nothing of it is believed.
    Unasked,
}

/// Reads one DNS message. A question is noted. An answer to a noted question of the same client, resolver, ports, id and
/// name teaches the addresses in it under the name that was asked for (rule: dns-names-outside-addresses). Failures and
/// answers to no question teach nothing.
///
/// # Errors
/// The message contradicts itself: a pointer loop, a name too long, a record beyond the end.
pub fn learn_answers(
    message: DnsMessage<'_>,
    questions: &mut Questions,
    names: &mut NameTable,
) -> Result<Heard, NotDns> {
    let bytes = message.bytes;
    let header = bytes.first_chunk::<12>().ok_or(NotDns)?;
    let (is_response, opcode, code) = (header[2] & 0x80 != 0, header[2] >> 3 & 15, header[3] & 15);
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    if opcode != 0 || count(4) != 1 || (is_response && code != 0) {
        return Ok(Heard::Nothing);
    }
    let (name, after) = parse_name(bytes, 12)?;
    if name.is_empty() {
        return Ok(Heard::Nothing);
    }
    let (client, resolver) = if is_response {
        (message.to, message.from)
    } else {
        (message.from, message.to)
    };
    let question = Question {
        client,
        resolver,
        over_tcp: message.over_tcp,
        id: u16::from_be_bytes([header[0], header[1]]),
        name: &name,
    };
    if !is_response {
        questions.ask(&question, message.at);
        return Ok(Heard::Nothing);
    }
    let answers = parse_answers(bytes, after + 4, count(6));
    let found = addresses_of(&name, &answers);
    if found.is_empty() {
        return Ok(Heard::Nothing);
    }
    if !questions.is_asked(&question) {
        return Ok(Heard::Unasked);
    }
    let by = NamedBy::Resolver(resolver.ip());
    for (address, ttl) in &found {
        names.learn(*address, &name, (client.ip(), by), message.at, *ttl);
    }
    Ok(Heard::Names(found.len()))
}

fn parse_answers(bytes: &[u8], mut at: usize, count: usize) -> Vec<AddressAnswer> {
    let mut answers = Vec::new();
    for _ in 0..count.min(MAX_ANSWERS) {
        // A message that the snap length cut still teaches what is there.
        let Ok((answer, next)) = parse_answer(bytes, at) else {
            break;
        };
        at = next;
        answers.extend(answer);
    }
    answers
}

/// The addresses of the name that was asked for and of what it is an alias of, each with its TTL.
fn addresses_of(question: &str, answers: &[AddressAnswer]) -> Vec<(IpAddr, u32)> {
    let asked = aliases(question, answers);
    let shortest = asked.iter().map(|(_, ttl)| *ttl).min();
    let found = answers.iter().filter_map(|answer| match answer.data {
        Data::Address(address) if asked.iter().any(|(name, _)| *name == answer.owner) => {
            Some((address, answer.ttl.min(shortest.unwrap_or(answer.ttl))))
        }
        _ => None,
    });
    found.collect()
}

/// The name asked for and every name that it is an alias of, with the TTL of each step.
fn aliases(question: &str, answers: &[AddressAnswer]) -> Vec<(String, u32)> {
    let mut chain = vec![(question.to_string(), u32::MAX)];
    for _ in 0..MAX_ANSWERS {
        let last = chain.last().map_or("", |(name, _)| name.as_str());
        let next = answers.iter().find_map(|answer| match &answer.data {
            Data::Alias(target) if answer.owner == last => Some((target.clone(), answer.ttl)),
            _ => None,
        });
        match next {
            Some(next) if !chain.iter().any(|(name, _)| *name == next.0) => chain.push(next),
            _ => break,
        }
    }
    chain
}

/// One resource record; `None` in it if its type does not matter here.
fn parse_answer(message: &[u8], at: usize) -> Result<(Option<AddressAnswer>, usize), NotDns> {
    let (owner, at) = parse_name(message, at)?;
    let fixed: [u8; 10] = slice(message, at, 10)?.try_into().map_err(|_| NotDns)?;
    let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
    let class = u16::from_be_bytes([fixed[2], fixed[3]]);
    let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let value = slice(message, at + 10, length)?;
    let end = at + 10 + length;
    // The top bit of the class is mDNS's cache-flush bit (RFC 6762 section 10.2).
    let data = match (kind, class & 0x7fff) {
        (A, 1) => value
            .first_chunk::<4>()
            .map(|bytes| Data::Address(IpAddr::from(*bytes))),
        (AAAA, 1) => value
            .first_chunk::<16>()
            .map(|bytes| Data::Address(canonical_address(IpAddr::from(*bytes)))),
        (CNAME, 1) => Some(Data::Alias(parse_name(message, at + 10)?.0)),
        _ => None,
    };
    // A TTL with the top bit set means 0 (RFC 2181 section 8).
    let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
    Ok((data.map(|data| AddressAnswer { owner, ttl, data }), end))
}

fn slice(message: &[u8], at: usize, length: usize) -> Result<&[u8], NotDns> {
    message
        .get(at..at.checked_add(length).ok_or(NotDns)?)
        .ok_or(NotDns)
}

/// A name in lower case without the final dot, and where the message goes on after it. Bytes that
/// could be mistaken in a report or a policy's comment are escaped as \DDD (RFC 1035 section 5.1).
fn parse_name(message: &[u8], mut at: usize) -> Result<(String, usize), NotDns> {
    let mut name = String::new();
    let mut after = None;
    let mut pointers = 0;
    let mut total = 0;
    loop {
        let length = usize::from(*message.get(at).ok_or(NotDns)?);
        match length >> 6 {
            0 if length == 0 => return Ok((name, after.unwrap_or(at + 1))),
            0 => {
                total += length + 1;
                if total > MAX_NAME {
                    return Err(NotDns);
                }
                if !name.is_empty() {
                    name.push('.');
                }
                for byte in slice(message, at + 1, length)? {
                    push_byte(&mut name, *byte);
                }
                at += 1 + length;
            }
            3 => {
                let low = usize::from(*message.get(at + 1).ok_or(NotDns)?);
                let target = (length & 0x3f) << 8 | low;
                after.get_or_insert(at + 2);
                pointers += 1;
                // Pointers lead backwards only (RFC 1035 section 4.1.4), which already rules out loops.
                if target >= at || pointers > MAX_POINTERS {
                    return Err(NotDns);
                }
                at = target;
            }
            _ => return Err(NotDns),
        }
    }
}

fn push_byte(name: &mut String, byte: u8) {
    match byte.to_ascii_lowercase() {
        plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'*') => name.push(plain.into()),
        other => name.push_str(&format!("\\{other:03}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "10.0.0.1:40000";
    const RESOLVER: &str = "10.96.0.10:53";

    fn message<'a>(bytes: &'a [u8], from: &str, to: &str) -> DnsMessage<'a> {
        DnsMessage {
            bytes,
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            over_tcp: false,
            at: Timestamp::from_secs(0),
        }
    }

    /// The question that a response answers.
    fn question_of(response: &[u8]) -> Vec<u8> {
        let mut query = response.to_vec();
        if let Some(flags) = query.get_mut(2) {
            *flags &= 0x7f;
        }
        query
    }

    fn label(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for part in text.split('.') {
            out.push(part.len() as u8);
            out.extend(part.as_bytes());
        }
        out.push(0);
        out
    }

    fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut out = owner.to_vec();
        out.extend(kind.to_be_bytes());
        out.extend(1u16.to_be_bytes());
        out.extend(ttl.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
        out
    }

    fn response(question: &str, records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0, 1, 0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
        out.extend(label(question));
        out.extend([0, 1, 0, 1]);
        out.extend(records.concat());
        out
    }

    fn learn(bytes: &[u8]) -> (Result<usize, NotDns>, Vec<String>) {
        let mut names = NameTable::default();
        let mut questions = Questions::default();
        let query = question_of(bytes);
        let asked = message(&query, CLIENT, RESOLVER);
        let _ = learn_answers(asked, &mut questions, &mut names);
        let answer = message(bytes, RESOLVER, CLIENT);
        let result = learn_answers(answer, &mut questions, &mut names);
        let result = result.map(|heard| match heard {
            Heard::Names(count) => count,
            Heard::Nothing | Heard::Unasked => 0,
        });
        let listing = names.listing();
        (
            result,
            listing
                .iter()
                .map(|(a, e)| format!("{a} {} {}", e.name, e.until))
                .collect(),
        )
    }

    #[test]
    fn an_address_behind_aliases_is_named_by_what_was_asked_with_the_shortest_ttl() {
        let message = response(
            "WWW.example.com",
            &[
                record(&[0xc0, 12], CNAME, 60, &label("cdn.example.net")),
                record(&label("cdn.example.net"), A, 300, &[192, 0, 2, 7]),
                record(&label("unrelated.example"), A, 300, &[192, 0, 2, 8]),
                record(&label("cdn.example.net"), AAAA, 5, &[0; 16]),
            ],
        );
        let (result, listing) = learn(&message);
        assert_eq!(result, Ok(2));
        assert_eq!(
            listing,
            [
                "192.0.2.7 www.example.com 1970-01-01T00:01:00Z",
                ":: www.example.com 1970-01-01T00:00:05Z"
            ]
        );
    }

    #[test]
    fn pointer_loops_and_endless_names_are_refused() {
        let mut looped = response("x", &[]);
        looped.truncate(12);
        looped.extend([0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(learn(&looped).0, Err(NotDns));
        let mut bomb = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        for _ in 0..10 {
            bomb.extend(
                [[b'a'; 62].as_slice()]
                    .concat()
                    .iter()
                    .fold(vec![62], |mut v, b| {
                        v.push(*b);
                        v
                    }),
            );
        }
        bomb.push(0);
        assert_eq!(learn(&bomb).0, Err(NotDns));
    }

    #[test]
    fn a_message_cut_by_the_snap_length_teaches_what_is_there() {
        let message = response(
            "a.example",
            &[
                record(&[0xc0, 12], A, 1, &[192, 0, 2, 1]),
                record(&[0xc0, 12], A, 1, &[192, 0, 2, 2]),
            ],
        );
        assert_eq!(learn(&message[..message.len() - 1]).1.len(), 1);
    }

    #[test]
    fn queries_and_failures_teach_nothing_and_odd_bytes_are_escaped() {
        let mut query = response("a.example", &[record(&[0xc0, 12], A, 1, &[192, 0, 2, 1])]);
        query[2] = 0x01;
        assert_eq!(learn(&query).0, Ok(0));
        let odd = response(
            "a\n#.example",
            &[record(&[0xc0, 12], A, 1, &[192, 0, 2, 1])],
        );
        assert_eq!(
            learn(&odd).1,
            ["192.0.2.1 a\\010\\035.example 1970-01-01T00:00:01Z"]
        );
    }

    #[test]
    fn an_answer_to_no_question_names_nothing() {
        let answer = response(
            "bank.example",
            &[record(&[0xc0, 12], A, 60, &[203, 0, 113, 66])],
        );
        let other_id = {
            let mut bytes = answer.clone();
            bytes[1] ^= 1;
            bytes
        };
        let other_name = response(
            "b4nk.example",
            &[record(&[0xc0, 12], A, 60, &[203, 0, 113, 66])],
        );
        let query = question_of(&response("bank.example", &[]));
        let forged = [
            // Nobody asked this client's forger, at this port, with this id, for this name.
            message(&answer, "10.0.0.66:53", CLIENT),
            message(&answer, RESOLVER, "10.0.0.1:40001"),
            message(&answer, RESOLVER, "10.0.0.2:40000"),
            message(&other_id, RESOLVER, CLIENT),
            message(&other_name, RESOLVER, CLIENT),
            DnsMessage {
                over_tcp: true,
                ..message(&answer, RESOLVER, CLIENT)
            },
        ];
        let mut names = NameTable::default();
        let mut questions = Questions::default();
        let early = learn_answers(
            message(&answer, RESOLVER, CLIENT),
            &mut questions,
            &mut names,
        );
        assert_eq!(early, Ok(Heard::Unasked), "before the question");
        let asked = learn_answers(
            message(&query, CLIENT, RESOLVER),
            &mut questions,
            &mut names,
        );
        assert_eq!(asked, Ok(Heard::Nothing));
        for forged in forged {
            assert_eq!(
                learn_answers(forged, &mut questions, &mut names),
                Ok(Heard::Unasked)
            );
        }
        assert!(names.is_empty());
        let true_one = learn_answers(
            message(&answer, RESOLVER, CLIENT),
            &mut questions,
            &mut names,
        );
        assert_eq!(true_one, Ok(Heard::Names(1)));
    }
}
