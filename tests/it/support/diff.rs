//! A line diff for the output of a failed test.

/// Returns a diff: `-` lines are expected and missing, `+` lines are unexpected. Equal lines are listed only near a
/// difference.
pub fn lines(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    // Longest common subsequence; the texts have at most some hundred lines.
    let mut common = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut marked = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            marked.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            marked.push(('-', old[i]));
            i += 1;
        } else {
            marked.push(('+', new[j]));
            j += 1;
        }
    }
    let near = |place: usize| {
        let from = place.saturating_sub(2);
        marked[from..marked.len().min(place + 3)]
            .iter()
            .any(|(mark, _)| *mark != ' ')
    };
    let shown: Vec<String> = (0..marked.len())
        .filter(|place| near(*place))
        .map(|place| format!("    {} {}", marked[place].0, marked[place].1))
        .collect();
    shown.join("\n")
}
