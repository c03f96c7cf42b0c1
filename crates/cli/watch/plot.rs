//! A plot of letters for a terminal.

/// A plot to draw, and its size.
#[derive(Debug)]
pub struct Plot {
    pub title: String,
    /// Places, of any numbers, each with its mark.
    pub points: Vec<([f64; 2], char)>,
    /// Marks in a row of their own above the others, with the name of the row.
    pub above: (&'static str, Vec<(f64, char)>),
    /// The highest height, as a multiple of the lowest; points above stand in the highest row.
    pub most: f64,
    /// A height that has a line, if it is shown, with its name.
    pub line: Option<(f64, &'static str)>,
    /// Places on the horizontal axis that have a label.
    pub labels: Vec<(f64, String)>,
    pub rows: usize,
    pub columns: usize,
}

/// A place with several marks.
const SEVERAL: char = '*';

impl Plot {
    /// The lines of the plot; `text` writes a number of the vertical axis.
    pub fn lines(&self, text: impl Fn(f64) -> String) -> Vec<String> {
        let heights = || self.points.iter().map(|([_, y], _)| *y);
        let low = heights().fold(f64::INFINITY, f64::min);
        let highest = heights().chain(self.line.map(|(height, _)| height)).fold(low, f64::max);
        let high = if low > 0.0 { highest.min(self.most * low) } else { highest };
        let line = self.line.filter(|(height, _)| (low..=high).contains(height));
        let row_of = |y: f64| place(y, [high, low], self.rows);
        let [left, right] = self.ends();
        let column_of = |x: f64| place(x, [left, right], self.columns);
        let mut grid = vec![vec![' '; self.columns]; self.rows];
        if let Some((height, _)) = line {
            grid[row_of(height)].fill('┄');
        }
        for ([x, y], mark) in &self.points {
            put(&mut grid[row_of(*y)][column_of(*x)], *mark);
        }
        let mut above = vec![' '; self.columns];
        self.above.1.iter().for_each(|(x, mark)| put(&mut above[column_of(*x)], *mark));
        let (middle, last) = (self.rows / 2, self.rows - 1);
        let name = |row: usize| match (row, line) {
            (row, Some((height, name))) if row == row_of(height) => format!("{name} {}", text(height)),
            (0, _) if heights().any(|height| height > high) => format!("≥ {}", text(high)),
            (0, _) => text(high),
            (row, _) if row == last => text(low),
            (row, _) if row == middle => text(high + (low - high) * row as f64 / last.max(1) as f64),
            _ => String::new(),
        };
        let names: Vec<String> = (0..self.rows).map(name).collect();
        let margin = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let margin = if self.above.1.is_empty() { margin } else { margin.max(self.above.0.chars().count()) };
        let row = |name: &str, edge: char, marks: &[char]| {
            format!("{name:>margin$} {edge}{}", marks.iter().collect::<String>()).trim_end().to_owned()
        };
        let mut lines = vec![self.title.clone()];
        if !self.above.1.is_empty() {
            lines.push(row(self.above.0, ' ', &above));
        }
        lines.extend(names.iter().zip(&grid).map(|(name, marks)| row(name, '│', marks)));
        lines.push(row("", '└', &vec!['─'; self.columns]));
        lines.push(row("", ' ', &self.label_row(column_of)));
        lines
    }

    /// The ends of the horizontal axis.
    fn ends(&self) -> [f64; 2] {
        let all = || {
            let of_points = self.points.iter().map(|([x, _], _)| *x);
            of_points.chain(self.above.1.iter().map(|(x, _)| *x)).chain(self.labels.iter().map(|(x, _)| *x))
        };
        [all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)]
    }

    /// The labels, each around its place, without those that would touch the one before.
    fn label_row(&self, column_of: impl Fn(f64) -> usize) -> Vec<char> {
        let (mut row, mut free) = (vec![' '; self.columns], 0);
        for (x, label) in &self.labels {
            let length = label.chars().count();
            let start = column_of(*x).saturating_sub(length / 2).min(self.columns.saturating_sub(length));
            if start >= free && start + length <= self.columns {
                row.splice(start..start + length, label.chars());
                free = start + length + 1;
            }
        }
        row
    }
}

/// The place of a number between two ends among so many; all are in the middle if the ends are the same.
fn place(number: f64, [first, last]: [f64; 2], places: usize) -> usize {
    let share = (number - first) / (last - first);
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 };
    (share * (places - 1) as f64).round() as usize
}

fn put(place: &mut char, mark: char) {
    *place = if [' ', '┄', mark].contains(place) { mark } else { SEVERAL };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_their_places() {
        let plot = Plot {
            title: "loss".to_owned(),
            points: vec![([0.0, 5.0], 'A'), ([1.0, 2.0], 'A'), ([1.0, 2.0], 'B'), ([0.5, 9.0], 'B'), ([0.0, 5.0], 'A')],
            above: ("diverged", vec![(2.0, 'A')]),
            most: 4.0,
            line: Some((4.0, "base")),
            labels: vec![
                (0.0, "1e-3".to_owned()),
                (0.5, "2e-3".to_owned()),
                (1.0, "4e-3".to_owned()),
                (2.0, "1".to_owned()),
            ],
            rows: 5,
            columns: 9,
        };
        let wanted = [
            "loss",
            "diverged          A",
            "     ≥ 8 │  B",
            "         │",
            "       5 │A",
            "  base 4 │┄┄┄┄┄┄┄┄┄",
            "       2 │    *",
            "         └─────────",
            "          1e-3    1",
        ];
        assert_eq!(plot.lines(|y| y.to_string()), wanted);
    }

    #[test]
    fn one_point_is_a_plot() {
        let plot = Plot {
            title: String::new(),
            points: vec![([3.0, 2.0], 'A')],
            above: ("", vec![]),
            most: 2.0,
            line: None,
            labels: vec![(3.0, "3".to_owned())],
            rows: 3,
            columns: 3,
        };
        assert_eq!(plot.lines(|y| y.to_string()), ["", "2 │", "2 │ A", "2 │", "  └───", "    3"]);
    }
}
