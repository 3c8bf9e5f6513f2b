//! Cases from a seed, asked of an oracle and of the evaluator, until enough pairs are compared.

use super::case::{Case, Probe};
use super::program::Oracle;
use fastrand::Rng;
use serde_json::Value;

/// How many pairs are compared where nobody asks for more: some seconds for each oracle.
const PAIRS: usize = 5_000;

/// Pairs of a case that are asked for; the next case tells more than further pairs of this one.
const PAIRS_OF_A_CASE: usize = 60;

const SEED: u64 = 20_261_130;

/// What the evaluator says of one probe of one pair, of ends by their indices; `None` where the oracle is known to say
/// otherwise.
pub type Judge = Box<dyn Fn(usize, usize, Probe) -> Option<bool>>;

/// Explains the evaluator's verdict in the message of a failure.
pub type Explain<'a> = dyn Fn(&Case, (usize, usize), Probe) -> String + 'a;

/// How the evaluator is asked, with what is known of the oracle.
pub struct Plan<'a> {
    pub oracle: &'static str,
    pub make: &'a dyn Fn(&mut Rng) -> Case,
    pub judge: &'a dyn Fn(&Case) -> Judge,
    pub explain: &'a Explain<'a>,
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text}")),
    )
}

/// Compares as many pairs as are wanted. Panics with the smallest case that it finds at the first difference.
pub fn compare(plan: &Plan<'_>) {
    let wanted = number("NANOSEG_ORACLE_PAIRS").map_or(PAIRS, |wanted| wanted as usize);
    let seed = number("NANOSEG_ORACLE_SEED").unwrap_or(SEED);
    let mut pairs = 0;
    let cases = (0..).map(|index| {
        let mut rng = Rng::with_seed(seed.wrapping_add(index));
        let mut case = (plan.make)(&mut rng);
        rng.shuffle(&mut case.pairs);
        case.pairs.truncate(PAIRS_OF_A_CASE);
        case
    });
    compare_cases(
        plan,
        cases.take_while(|case| {
            let more = pairs < wanted;
            pairs += case.pairs.len();
            more
        }),
    );
}

/// Compares all pairs of some cases.
pub fn compare_cases(plan: &Plan<'_>, cases: impl Iterator<Item = Case>) {
    let Some(mut oracle) = Oracle::start(plan.oracle) else {
        return;
    };
    let (mut count, mut pairs, mut verdicts, mut allowed, mut not_judged) = (0, 0, 0, 0, 0);
    for case in cases {
        let theirs = oracle.ask(&case).unwrap_or_else(|error| {
            panic!(
                "{} cannot judge case {count}: {error}\n{}",
                plan.oracle,
                text(&case)
            )
        });
        if difference(plan, &case, &theirs).is_some() {
            fail(plan, &mut oracle, case, count);
        }
        count += 1;
        pairs += case.pairs.len();
        verdicts += theirs.len();
        allowed += theirs.iter().filter(|one| **one == b'1').count();
        not_judged += theirs.iter().filter(|one| **one == b'?').count();
    }
    println!(
        "{}: {count} cases, {pairs} pairs, {verdicts} verdicts ({allowed} allowed, {not_judged} not judged), all equal",
        plan.oracle
    );
    // Policies that allow or deny everything would show nothing.
    assert!(
        allowed * 10 > verdicts && allowed * 10 < verdicts * 9,
        "{allowed} of {verdicts}"
    );
    assert!(
        not_judged * 5 < verdicts,
        "{not_judged} of {verdicts} are not judged"
    );
}

/// The first verdict that differs: pair, probe, and what the oracle says.
fn difference(plan: &Plan<'_>, case: &Case, theirs: &[u8]) -> Option<((usize, usize), Probe, u8)> {
    let judge = (plan.judge)(case);
    let asked = case
        .pairs
        .iter()
        .flat_map(|pair| case.probes.iter().map(move |probe| (*pair, *probe)));
    let mut differing = asked.zip(theirs).filter(|((pair, probe), theirs)| {
        **theirs != b'?'
            && judge(pair.0, pair.1, *probe).is_some_and(|ours| ours != (**theirs == b'1'))
    });
    differing
        .next()
        .map(|((pair, probe), theirs)| (pair, probe, *theirs))
}

fn fail(plan: &Plan<'_>, oracle: &mut Oracle, mut case: Case, index: usize) -> ! {
    let mut still = |case: &Case| {
        let theirs = oracle.ask(case).ok()?;
        difference(plan, case, &theirs)
    };
    let (pair, probe, _) = still(&case).expect("an oracle says the same twice");
    case.pairs = vec![pair];
    case.probes = vec![probe];
    // Takes away one part after another, as long as the difference stays.
    'smaller: loop {
        for policy in 0..case.policies.len() {
            let mut smaller = case.clone();
            smaller.policies.remove(policy);
            if still(&smaller).is_some() {
                case = smaller;
                continue 'smaller;
            }
            for part in parts(&case.policies[policy]) {
                let mut smaller = case.clone();
                remove(&mut smaller.policies[policy], &part);
                if still(&smaller).is_some() {
                    case = smaller;
                    continue 'smaller;
                }
            }
        }
        break;
    }
    let (pair, probe, theirs) = still(&case).expect("a difference");
    panic!(
        "case {index}: {} to {} {} {}: {} says {}\n{}\n{}",
        case.name(pair.0),
        case.name(pair.1),
        probe.protocol,
        probe.port,
        plan.oracle,
        if theirs == b'1' { "allowed" } else { "denied" },
        text(&case),
        (plan.explain)(&case, pair, probe),
    );
}

/// JSON pointers of all entries of lists in a policy that may be left out.
fn parts(policy: &Value) -> Vec<String> {
    fn collect(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Array(list) => {
                for (index, entry) in list.iter().enumerate() {
                    // A list without its last entry can mean all instead of none.
                    if list.len() > 1 || path.ends_with("ingress") || path.ends_with("egress") {
                        found.push(format!("{path}/{index}"));
                    }
                    collect(entry, &format!("{path}/{index}"), found);
                }
            }
            Value::Object(map) => {
                for (key, entry) in map {
                    collect(entry, &format!("{path}/{key}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&policy["spec"], "/spec", &mut found);
    found
}

fn remove(policy: &mut Value, part: &str) {
    let (list, index) = part.rsplit_once('/').expect("a pointer");
    let list = policy.pointer_mut(list).and_then(Value::as_array_mut);
    list.expect("a list")
        .remove(index.parse().expect("an index"));
}

/// The case as JSON, for `echo … | target/go/NAME`.
pub fn text(case: &Case) -> String {
    serde_json::to_string_pretty(case).expect("JSON")
}
