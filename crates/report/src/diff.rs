//! A unified diff of two short texts: the policy before and after.

/// One line of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffLine<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
    /// Lines that are the same and are left out.
    Skipped(usize),
}

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// The largest product of both lengths, in lines, for which common lines are searched: 16 MB of table.
const MOST: usize = 4_000_000;

/// The lines of both, the common ones once; long runs of the same are cut.
pub fn diff<'a>(before: &'a str, after: &'a str) -> Vec<DiffLine<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if old.len().saturating_mul(new.len()) > MOST {
        let removed = old.into_iter().map(DiffLine::Removed);
        return removed
            .chain(new.into_iter().map(DiffLine::Added))
            .collect();
    }
    cut(whole(&old, &new))
}

/// By the longest common subsequence.
fn whole<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<DiffLine<'a>> {
    let wide = new.len() + 1;
    // common[i * wide + j]: how many lines old[i..] and new[j..] have in common.
    let mut common = vec![0u32; (old.len() + 1) * wide];
    let at = |i: usize, j: usize| i * wide + j;
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            common[at(i, j)] = if a == b {
                common[at(i + 1, j + 1)] + 1
            } else {
                common[at(i + 1, j)].max(common[at(i, j + 1)])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        if a == b {
            lines.push(DiffLine::Same(a));
            (i, j) = (i + 1, j + 1);
        } else if common[at(i + 1, j)] >= common[at(i, j + 1)] {
            lines.push(DiffLine::Removed(a));
            i += 1;
        } else {
            lines.push(DiffLine::Added(b));
            j += 1;
        }
    }
    lines.extend(old.iter().skip(i).map(|line| DiffLine::Removed(line)));
    lines.extend(new.iter().skip(j).map(|line| DiffLine::Added(line)));
    lines
}

/// Replaces lines that are far from any change by their number.
fn cut(lines: Vec<DiffLine>) -> Vec<DiffLine> {
    let is_change = |line: &DiffLine| !matches!(line, DiffLine::Same(_));
    let near = |index: usize| {
        let first = index.saturating_sub(CONTEXT);
        let around = lines.iter().skip(first).take(index - first + CONTEXT + 1);
        around.into_iter().any(is_change)
    };
    let mut out = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match (near(index), out.last_mut()) {
            (true, _) => out.push(*line),
            (false, Some(DiffLine::Skipped(count))) => *count += 1,
            (false, _) => out.push(DiffLine::Skipped(1)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &str, after: &str) -> String {
        let line = |line: DiffLine| match line {
            DiffLine::Same(text) => format!(" {text}"),
            DiffLine::Removed(text) => format!("-{text}"),
            DiffLine::Added(text) => format!("+{text}"),
            DiffLine::Skipped(count) => format!("@{count}"),
        };
        let lines: Vec<String> = diff(before, after).into_iter().map(line).collect();
        lines.join("|")
    }

    #[test]
    fn a_change_stands_between_what_is_the_same() {
        assert_eq!(text("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
        assert_eq!(text("a\nb", "a\nb\nc"), " a| b|+c");
        assert_eq!(text("", "a\nb"), "+a|+b");
        assert_eq!(text("a\nb", ""), "-a|-b");
    }

    #[test]
    fn lines_far_from_a_change_are_only_counted() {
        assert_eq!(
            text("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\nx"),
            "@2| 3| 4| 5|-6|+x"
        );
        assert_eq!(text("1\n2", "1\n2"), "@2");
    }
}
