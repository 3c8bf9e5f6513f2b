//! The claims of pods on one address → who had it when, for certain or not (rule: owner-at-that-time).

use super::snapshots::LastSeen;
use nanoseg_net::Timestamp;

/// One pod's time with an address: from (inclusive) until (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tenure {
    pub from: Timestamp,
    pub until: Timestamp,
    pub pod: usize,
    pub hold: Hold,
}

/// Whether a pod had an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Certain,
    /// It or somebody else.
    Perhaps,
    /// Somebody else whom nobody knows: another link has the address.
    Hardly,
}

/// What is known of one pod and one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Index into [`super::Inventory::pods`].
    pub pod: usize,
    /// `namespace/name`, for order and for messages.
    pub name: String,
    /// The node that it runs on.
    pub node: Option<String>,
    /// When the pod started: its sandbox was made then or later, perhaps a second time.
    pub start: Option<Timestamp>,
    /// When its sandbox, and so its address, was made at the earliest.
    pub from: Option<Timestamp>,
    /// When its network was up: the address was its own then at the latest.
    pub up: Option<Timestamp>,
    /// When it gave the address back, where that is known.
    pub until: Option<Timestamp>,
    pub seen: LastSeen,
}

impl Claim {
    /// It is gone, and nothing in the snapshots shows since when.
    pub fn is_open(&self) -> bool {
        self.until.is_none() && self.seen.gone
    }
}

/// From when to when packets with one link identity (a MAC address or an interface) came from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSpan {
    pub first: Timestamp,
    pub last: Timestamp,
    /// The index of the pod's interface on its node, where the capture has it. Later interfaces have larger ones.
    pub interface: Option<u32>,
}

/// Whether a link identity is a pod's, by the order in which interfaces were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Unknown,
    /// The interface is older than the snapshot in which the pod has the address.
    Proven,
    /// The interface is younger than the pod's.
    Refuted,
}

/// How far apart the clocks of two machines may be, in seconds: the API server's and kubelets' times and those of
/// a capturing node. NTP holds nodes within milliseconds; a node whose clock nobody sets drifts by a second a day
/// (Linux, adjtimex(8)), and monitoring and certificates break down before it is minutes.
const CLOCKS: i64 = 10;

/// An owner this long before or after, in seconds, is too near for [`CLOCKS`]: nothing is guessed then.
const AROUND: i64 = 60;

/// Kubernetes cuts times to the second.
const CUT: i64 = 1;

/// Puts the claims on one address in order, so that at any time at most one holds. `links` are the identities with
/// which packets came from the address, in the order of their first packets; `order` judges one for a claim.
pub(super) fn settle(
    mut claims: Vec<Claim>,
    links: &[LinkSpan],
    order: impl Fn(&Claim, &LinkSpan) -> Order,
) -> (Vec<Claim>, Vec<Tenure>) {
    claims.sort_by(|a, b| {
        let time = |claim: &Claim| claim.up.or(claim.from);
        (time(a), &a.name, a.pod).cmp(&(time(b), &b.name, b.pod))
    });
    let begins = begins(&claims);
    // A link identity that goes on beyond a known handover does not tell owners apart.
    let goes_on = |link: &LinkSpan| {
        let mut handovers = begins.iter().zip(&claims).skip(1);
        handovers.any(|(begin, later)| {
            let up = later.up.map_or(*begin, |up| up.max(*begin));
            link.first.plus_secs(CUT) < *begin && up < link.last.plus_secs(-CUT)
        })
    };
    let links = if links.iter().any(goes_on) {
        &[]
    } else {
        links
    };
    let mut tenures = Vec::with_capacity(claims.len());
    for (place, claim) in claims.iter().enumerate() {
        let from = begins[place];
        let next = begins.get(place + 1).copied();
        let end = next.unwrap_or(Timestamp::MAX);
        let before = place.checked_sub(1).map(|place| &claims[place]);
        let (begin, gap) = begin(before, from);
        let free = match before {
            None => Some(Timestamp::MIN),
            Some(earlier) => earlier.until.map(|until| tolerated_end(until, Some(from))),
        };
        let maybe = claim.start.zip(free).map(|(start, free)| start.max(free));
        let gap = gap.or(maybe);
        if let Some(gap) = gap.filter(|gap| *gap < begin) {
            tenures.push(tenure(claim.pod, gap, begin, Hold::Perhaps));
        }
        let mut others_sign = end;
        let until = match claim.until {
            Some(until) => tolerated_end(until, next).min(end).max(from),
            None if !claim.seen.gone => end,
            None => {
                let mine = |link: &&LinkSpan| link.last >= from && link.first < end;
                let mine: Vec<&LinkSpan> = links.iter().filter(mine).collect();
                others_sign = mine.get(1).map_or(end, |other| other.first);
                let first = mine.first().map(|link| order(claim, link));
                certain_until(claim, next, &mine, first.unwrap_or(Order::Unknown)).clamp(from, end)
            }
        };
        tenures.push(tenure(claim.pod, begin, until, Hold::Certain));
        if claim.is_open() {
            let others_sign = others_sign.clamp(until, end);
            tenures.push(tenure(claim.pod, until, others_sign, Hold::Perhaps));
            tenures.push(tenure(claim.pod, others_sign, end, Hold::Hardly));
        }
    }
    tenures.retain(|tenure| tenure.from < tenure.until);
    (claims, tenures)
}

fn tenure(pod: usize, from: Timestamp, until: Timestamp, hold: Hold) -> Tenure {
    Tenure {
        from,
        until,
        pod,
        hold,
    }
}

/// From when on each claim holds.
fn begins(claims: &[Claim]) -> Vec<Timestamp> {
    let mut begins: Vec<Timestamp> = Vec::with_capacity(claims.len());
    for (place, claim) in claims.iter().enumerate() {
        let before = place
            .checked_sub(1)
            .map(|place| (&claims[place], begins[place]));
        begins.push(match before {
            None => claim.from.unwrap_or(Timestamp::MIN),
            Some((earlier, since)) => handover(earlier, since, claim).max(since),
        });
    }
    begins
}

/// When an address went from one pod to the next. A sandbox is made *after* the pod's start, so where the earlier
/// one's end is known it counts, bounded by when the later one's network was up.
fn handover(earlier: &Claim, since: Timestamp, later: &Claim) -> Timestamp {
    let mut start = later.from.unwrap_or(Timestamp::MIN);
    let up = later.up.unwrap_or(start).max(start);
    if start <= since {
        // It existed before the earlier one and got the address after it.
        start = up;
    }
    match earlier.until {
        Some(end) => end.clamp(start, up),
        None => start,
    }
}

/// Where a tenure begins that holds from `from` on, and where an uncertain time before it begins.
fn begin(before: Option<&Claim>, from: Timestamp) -> (Timestamp, Option<Timestamp>) {
    if from == Timestamp::MIN {
        return (from, None);
    }
    match before.map(|earlier| earlier.until) {
        // The earlier one, or whoever came after it, had the address until then.
        Some(None) => (from, None),
        Some(Some(end)) if end.plus_secs(AROUND) >= from => {
            let begin = from.plus_secs(-CUT).max(end).min(from);
            (begin, Some(end))
        }
        _ => (from.plus_secs(-CLOCKS), None),
    }
}

fn tolerated_end(until: Timestamp, next: Option<Timestamp>) -> Timestamp {
    if next.is_none_or(|next| next > until.plus_secs(AROUND)) {
        until.plus_secs(CLOCKS)
    } else {
        until
    }
}

/// Until when a pod that is gone had its address for certain. `links` are the identities seen in its time.
fn certain_until(
    claim: &Claim,
    next: Option<Timestamp>,
    links: &[&LinkSpan],
    order: Order,
) -> Timestamp {
    let LastSeen { at, timed, .. } = claim.seen;
    let at = at.unwrap_or(Timestamp::MIN);
    let (Some(first), other) = (links.first(), links.get(1)) else {
        return match next {
            // Nobody knows when the snapshot was taken: it is taken to be from just before what was observed, and the
            // pod's address until the next one's start.
            Some(next) if !timed => next,
            _ => at,
        };
    };
    let is_its_own = match order {
        Order::Proven => true,
        Order::Refuted => return at.min(first.first),
        Order::Unknown if timed => first.first <= at.plus_secs(CUT),
        // Somebody else's link comes after it, so that it was somebody's before: the pod's that is known.
        Order::Unknown => other.is_some() || next.is_some(),
    };
    let others_sign = other.map_or(Timestamp::MAX, |other| other.first);
    if !is_its_own {
        return at.min(first.first);
    }
    let last = match next {
        Some(next) if !timed && other.is_none() => next,
        _ => at.max(first.last.plus_nanos(1)),
    };
    last.min(others_sign)
}

/// Both are known to have been there at once: the earlier one ended after the later one's network was up, or
/// nothing bounds either in time. (An earlier pod without a known end has merely gone.)
pub(super) fn conflict(earlier: &Claim, later: &Claim) -> bool {
    match (earlier.until, later.up) {
        // Both times are cut to the second and `until` is rounded up.
        (Some(end), Some(up)) => up.plus_secs(2) < end,
        _ => earlier.from.is_none() && later.from.is_none(),
    }
}
