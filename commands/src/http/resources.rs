//! The endpoints: those of the operations that have one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use recovery::operations::TABLE;

use super::endpoint::Endpoint;
use super::from_operation::endpoint;

static ENDPOINTS: LazyLock<Vec<Endpoint>> =
    LazyLock::new(|| TABLE.iter().filter(|row| !row.entry.path.is_empty()).map(endpoint).collect());

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter()
}

/// The endpoints of each path. A name in a path may be the same as a word beside it: a repository called `active`
/// can be released, too.
pub(super) fn by_path() -> BTreeMap<&'static str, Vec<&'static Endpoint>> {
    let mut by_path: BTreeMap<&'static str, Vec<&'static Endpoint>> = BTreeMap::new();
    for endpoint in all() {
        by_path.entry(endpoint.path).or_default().push(endpoint);
    }
    let named: Vec<&'static Endpoint> = all().filter(|e| e.path.contains('{')).collect();
    for (path, endpoints) in &mut by_path {
        for of_names in named.iter().filter(|named| named.path != *path && is_like(named.path, path)) {
            if endpoints.iter().all(|there| there.method != of_names.method) {
                endpoints.push(of_names);
            }
        }
    }
    by_path
}

/// Whether a path could be one of these, with a name in the place of its word.
fn is_like(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(of_template, part): (&&str, &&str)| of_template.starts_with('{') || of_template == part;
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests read what was written.
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_endpoint_with_its_command() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md");
        let page = std::fs::read_to_string(page).unwrap();
        for endpoint in all() {
            let command = endpoint.name();
            let method = endpoint.method.word().to_uppercase();
            let line = format!("| `{method} {}` | `{command}` | {} |", endpoint.path, endpoint.summary);
            assert!(page.contains(&line), "docs/http.md lacks: {line}");
        }
    }
}
