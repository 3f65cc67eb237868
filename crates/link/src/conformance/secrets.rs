//! What is relied on when a host asks control for a secret.

use model::{HostId, RegistryCredentials, SecretId, SecretRef};
use wire::secret::{SecretRefusal, SecretRequest};

use super::{Broken, VM, expect, promise, within};
use crate::{Link, SecretError};

const REQUEST: SecretRequest = SecretRequest {
    vm: VM,
    secret: SecretRef {
        id: SecretId::from_random([8; 16]),
        version: 3,
    },
};

fn credentials() -> RegistryCredentials {
    RegistryCredentials {
        username: "fred".to_owned(),
        password: "secret".to_owned(),
    }
}

/// Before any control plane takes what hosts ask, and after it has gone.
pub(super) async fn control_that_is_not_there_is_away(link: &Link, host: HostId) -> Result<(), Broken> {
    const CHECK: &str = "control that is not there is away";
    let nobody = within(CHECK, link.fetch_secret(host, REQUEST)).await?;
    expect(CHECK, &nobody, &Err(SecretError::Away))?;
    let mut asks = link.serve_secrets();
    let (answer, ()) = tokio::join!(within(CHECK, link.fetch_secret(host, REQUEST)), async {
        drop(asks.recv().await);
    });
    expect(CHECK, &answer?, &Err(SecretError::Away))?;
    drop(asks);
    let gone = within(CHECK, link.fetch_secret(host, REQUEST)).await?;
    expect(CHECK, &gone, &Err(SecretError::Away))
}

/// The newest taker hears who asks for what, and each gets its own answer.
pub(super) async fn who_asks_gets_the_answer(link: &Link, host: HostId, other: HostId) -> Result<(), Broken> {
    const CHECK: &str = "who asks gets the answer";
    let mut earlier = link.serve_secrets();
    let mut asks = link.serve_secrets();
    let answering = async {
        // In the other order than they were asked.
        let first = asks
            .recv()
            .await
            .ok_or_else(|| promise(CHECK, &"no first question"))?;
        let second = asks
            .recv()
            .await
            .ok_or_else(|| promise(CHECK, &"no second question"))?;
        expect(CHECK, &(first.host, second.host), &(host, other))?;
        expect(CHECK, &(first.request, second.request), &(REQUEST, REQUEST))?;
        second.answer(Err(SecretRefusal::Unknown));
        first.answer(Ok(credentials()));
        Ok::<(), Broken>(())
    };
    let (mine, others, answered) = tokio::join!(
        within(CHECK, link.fetch_secret(host, REQUEST)),
        within(CHECK, link.fetch_secret(other, REQUEST)),
        within(CHECK, answering),
    );
    answered??;
    expect(CHECK, &mine?, &Ok(credentials()))?;
    expect(
        CHECK,
        &others?,
        &Err(SecretError::Refused(SecretRefusal::Unknown)),
    )?;
    let unheard = earlier.recv().await.map(|ask| ask.host);
    expect(CHECK, &unheard, &None)
}
