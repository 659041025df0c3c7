//! Reading licence expressions: `MIT OR Apache-2.0`, `(MIT OR ISC) AND Zlib`, the old `MIT/Apache-2.0`.

/// Tells whether an expression can be met with allowed licences alone.
pub fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = Words {
        left: spaced.split_whitespace().collect(),
        allowed,
    };
    let met = words.alternatives();
    met && words.left.is_empty()
}

struct Words<'a> {
    left: std::collections::VecDeque<&'a str>,
    allowed: &'a [String],
}

impl Words<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let there = self.left.front() == Some(&word);
        if there {
            self.left.pop_front();
        }
        there
    }

    fn alternatives(&mut self) -> bool {
        let mut met = self.requirements();
        while self.takes("OR") {
            met |= self.requirements();
        }
        met
    }

    fn requirements(&mut self) -> bool {
        let mut met = self.single();
        while self.takes("AND") {
            met &= self.single();
        }
        met
    }

    fn single(&mut self) -> bool {
        if self.takes("(") {
            let met = self.alternatives();
            return self.takes(")") && met;
        }
        let Some(name) = self.left.pop_front() else {
            return false;
        };
        let mut name = name.to_owned();
        if self.takes("WITH") {
            name = format!("{name} WITH {}", self.left.pop_front().unwrap_or_default());
        }
        self.allowed.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_what_is_allowed() {
        let allowed = ["MIT", "Zlib", "ISC"].map(str::to_owned);
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND (GPL-3.0 OR ISC) AND Zlib", true),
            ("(MIT OR ISC) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("MIT WITH Some-exception", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }
}
