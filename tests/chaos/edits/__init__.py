"""Apps under load whose objects a tenant deletes and edits, at random moments of random operations, with the rights of
role ``edit``. Afterwards each App is as wanted again, or says in one true sentence what a person must do."""
