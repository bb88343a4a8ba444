//! How deliveries are made, out of the configuration: the files that it names are read here.

use crate::queue::Callback;
use crate::state::Secret;
use crate::state::config::{SecretSource, WebhookEndpoint, WebhookSettings};
use crate::webhooks::{AddressRules, Endpoint, Event, Settings};

use super::super::error::{ErrorKind, OperationError};
use crate::state::config;

/// How deliveries are made.
pub fn delivering(settings: &config::Settings) -> Result<Settings, OperationError> {
    let configured: WebhookSettings = settings.webhooks.clone();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for configured in &configured.endpoints {
        let endpoint = endpoint(configured)?;
        if endpoints.iter().any(|e| e.name == endpoint.name) {
            return Err(unusable(&endpoint.name, "there is another one of that name"));
        }
        endpoints.push(endpoint);
    }
    Ok(Settings {
        pauses: configured.retry,
        timeout: configured.timeout,
        retry_after_max: configured.retry_after_max,
        concurrency: configured.concurrency,
        per_endpoint: configured.per_endpoint,
        strict_order: configured.strict_order,
        breaker_failures: configured.breaker_failures,
        breaker_pause: configured.breaker_pause,
        breaker_pause_max: configured.breaker_pause_max,
        addresses: AddressRules { allow: configured.allow, deny: configured.deny },
        secrets: secrets(&configured.secrets)?,
        ca_file: configured.ca_file,
        keep: configured.keep,
        keep_entries: configured.keep_entries,
        endpoints,
        ..Settings::default()
    })
}

fn unusable(name: &str, why: &str) -> OperationError {
    OperationError::new(ErrorKind::Usage, format!("the endpoint '{name}' of webhooks cannot be used: {why}"))
        .code("configuration")
}

fn endpoint(configured: &WebhookEndpoint) -> Result<Endpoint, OperationError> {
    let WebhookEndpoint { name, url, events, method, headers, body, .. } = configured.clone();
    let callback = Callback { url, method, headers, body };
    callback.check().map_err(|why| unusable(&name, &why))?;
    let event = |word: &String| match Event::ALL.into_iter().find(|e| e.as_str() == word) {
        Some(event) => Ok(event),
        None => {
            let known = Event::ALL.map(Event::as_str).join(", ");
            Err(unusable(&name, &format!("there is no event '{word}'; events are {known}")))
        }
    };
    let events = events.iter().map(event).collect::<Result<_, _>>()?;
    let Callback { url, method, headers, body } = callback;
    Ok(Endpoint { events, secrets: secrets(&configured.secrets)?, name, url, method, headers, body })
}

fn secrets(sources: &[SecretSource]) -> Result<Vec<Secret>, OperationError> {
    sources.iter().map(secret).collect()
}

fn secret(source: &SecretSource) -> Result<Secret, OperationError> {
    let path = match source {
        SecretSource::Given(secret) => return Ok(secret.clone()),
        SecretSource::File(path) => path,
    };
    let unusable = |why: &str| {
        let message = format!("the secret in {} cannot be used: {why}", path.display());
        OperationError::new(ErrorKind::Usage, message).code("configuration")
    };
    let text = crate::durable::plain::read_text(path).map_err(|e| unusable(&e.to_string()))?;
    Secret::parse(&text).ok_or_else(|| unusable("it must be whsec_ and 24 to 64 bytes in base64"))
}
