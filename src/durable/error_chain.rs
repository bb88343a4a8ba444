//! An error with its causes, in one line for a log or a message.

use std::error::Error;

/// The error and its causes, the nearest first.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error with its causes, in one line. A transparent wrapper repeats the text of the error that it wraps; that
/// text appears once.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in causes(error).skip(1).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot read a")]
        Read(#[source] std::io::Error),
        #[error(transparent)]
        Inner(#[from] Box<Outer>),
        #[error("{0}")]
        Repeats(#[source] Box<Outer>),
    }

    #[test]
    fn each_cause_is_said_once() {
        let read = || Box::new(Outer::Read(std::io::Error::other("it is gone")));
        for error in [*read(), Outer::Inner(read()), Outer::Inner(Box::new(Outer::Inner(read())))] {
            assert_eq!(error_chain(&error), "cannot read a: it is gone");
        }
        assert_eq!(error_chain(&Outer::Repeats(read())), "cannot read a: it is gone");
        assert_eq!(causes(&Outer::Repeats(read())).count(), 3);
    }
}
