//! Removing: always accepted, and said to the host until it reports the VM gone.

use crate::vm::vm_find;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// Asks for a VM to go. It needs neither the VM nor its image nor its host to be healthy. The name is free at
    /// once; the capacity when the host says the VM is gone. Asked again, it answers the same.
    ///
    /// # Errors
    /// There is no such VM.
    pub async fn vm_delete(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        let mut change = self.change_by(caller, Operation::VmDelete).await?;
        let before = vm_find(&mut change, caller, selector, Operation::VmDelete).await?;
        if before.asked.remove {
            return Ok(self.view(before));
        }
        let mut now = before.clone();
        now.asked.remove = true;
        now.asked.generation += 1;
        change.about(now.asked.id);
        change.ask(&before, &now).await?;
        self.commit(change).await?;
        tracing::info!(vm.id = %now.asked.id, token.id = %caller.token, "vm asked to go");
        Ok(self.view(now))
    }
}
