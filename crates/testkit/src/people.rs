//! Users of a cloud.

use api::{Client, ClientConfig};
use control::{Caller, CreateToken, Origin, Until, UserSelector};
use model::{Role, Scope};

use crate::{Cloud, Fault};

impl Cloud {
    /// Makes a user and gives a token that may do whatever the user may.
    ///
    /// # Errors
    /// The name is taken.
    pub async fn user(&self, name: &str, role: Role) -> Result<String, Fault> {
        let (control, admin) = self.control()?;
        let (_, code) = control.user_create(admin, name.parse()?, role).await?;
        let (_, token) = control
            .login(code.reveal(), "testkit".to_owned(), Origin::default())
            .await?;
        Ok(token.reveal().to_owned())
    }

    /// Makes a user and gives a client with a token that may do whatever the user may.
    ///
    /// # Errors
    /// The name is taken.
    pub async fn client_of(&self, name: &str, role: Role) -> Result<Client, Fault> {
        Ok(Client::new(ClientConfig {
            url: self.client()?.url().to_string(),
            token: Some(self.user(name, role).await?),
            user_agent: "testkit".to_owned(),
        })?)
    }

    /// Makes another token for whose this is, good for these scopes, and for so many seconds where that is said.
    ///
    /// # Errors
    /// The token is good for nothing itself.
    pub async fn token_like(
        &self,
        token: &str,
        scopes: impl IntoIterator<Item = Scope>,
        seconds: Option<u64>,
    ) -> Result<String, Fault> {
        let (control, _) = self.control()?;
        let caller: Caller = control.authenticate(token, Origin::default()).await?;
        let wish = CreateToken {
            name: "testkit".to_owned(),
            scopes: Some(scopes.into_iter().collect()),
            until: seconds.map(Until::For),
        };
        let (_, token) = control.token_create(&caller, &UserSelector::Me, wish).await?;
        Ok(token.reveal().to_owned())
    }

    /// Keeps a user out.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn disable(&self, name: &str) -> Result<(), Fault> {
        let (control, admin) = self.control()?;
        control
            .user_disable(admin, &UserSelector::Name(name.parse()?))
            .await?;
        Ok(())
    }
}
