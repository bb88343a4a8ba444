//! Paging, the same in every list: a number of items after a cursor, and the cursor of the next page.

use crate::queue::QueuePosition;

/// Selects a part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most this many items; `None` for all.
    pub limit: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Whether to read from the end of the list to its beginning.
    pub reverse: bool,
}

impl Page {
    /// Returns the same page for a list that is stored oldest first and shown newest first: new items appear
    /// at the end that is shown first, and a cursor keeps its place.
    pub(crate) fn newest_first(&self) -> Page {
        Page { reverse: !self.reverse, ..self.clone() }
    }
}

/// A cursor that no list has returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no cursor of this list")]
pub(crate) struct BadCursor(pub String);

/// Cuts a page out of a list that is ordered by `place`, the lowest first.
pub(crate) fn cut<T>(
    mut items: Vec<T>,
    page: &Page,
    place: impl Fn(&T) -> QueuePosition,
) -> Result<(Vec<T>, Option<String>), BadCursor> {
    let after = page.cursor.as_deref().map(parse).transpose()?;
    if page.reverse {
        items.reverse();
    }
    let is_shown =
        |item: &T| after.is_some_and(|a| if page.reverse { place(item) >= a } else { place(item) <= a });
    let mut rest = items.into_iter().skip_while(is_shown).peekable();
    let mut cut = Vec::new();
    while cut.len() < page.limit.unwrap_or(usize::MAX) {
        match rest.next() {
            Some(item) => cut.push(item),
            None => break,
        }
    }
    let more = rest.peek().is_some();
    let next = cut.last().filter(|_| more).map(|last| text(place(last)));
    Ok((cut, next))
}

/// As [`cut`], for a list that is made anew each time: the cursor counts items.
pub(crate) fn cut_counted<T>(items: Vec<T>, page: &Page) -> Result<(Vec<T>, Option<String>), BadCursor> {
    let counted = (1..).zip(items).collect();
    let (part, next) = cut(counted, page, |(seq, _): &(u64, T)| QueuePosition { seq: *seq, index: 0 })?;
    Ok((part.into_iter().map(|(_, item)| item).collect(), next))
}

fn text(place: QueuePosition) -> String {
    format!("{}.{}", place.seq, place.index)
}

fn parse(cursor: &str) -> Result<QueuePosition, BadCursor> {
    let bad = || BadCursor(cursor.to_owned());
    let (seq, index) = cursor.split_once('.').ok_or_else(bad)?;
    Ok(QueuePosition { seq: seq.parse().map_err(|_| bad())?, index: index.parse().map_err(|_| bad())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_list_once() {
        let items: Vec<QueuePosition> = (1..=7).map(|seq| QueuePosition { seq, index: 0 }).collect();
        let backwards: Vec<QueuePosition> = items.iter().rev().copied().collect();
        for (reverse, expected) in [(false, &items), (true, &backwards)] {
            let (mut page, mut seen) = (Page { limit: Some(3), reverse, ..Page::default() }, Vec::new());
            loop {
                let (part, next) = cut(items.clone(), &page, |p| *p).unwrap();
                seen.extend(part);
                page.cursor = next;
                if page.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, *expected);
        }
        let bad = Page { cursor: Some("x".to_owned()), ..Page::default() };
        assert!(cut(items, &bad, |p| *p).is_err());
    }

    #[test]
    fn cursor_is_stable_newest_first() {
        let page = Page { limit: Some(2), ..Page::default() }.newest_first();
        let (first, cursor) = cut_counted(vec!["a", "b", "c"], &page).unwrap();
        assert_eq!(first, ["c", "b"]);
        // Another item has come meanwhile.
        let (rest, end) = cut_counted(vec!["a", "b", "c", "d"], &Page { cursor, ..page }).unwrap();
        assert_eq!((rest, end), (vec!["a"], None));
    }
}
