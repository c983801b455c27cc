"""`~` in a rule is a condition to mypy and to pyright's standard mode; where the strict one is used, write `not_()`."""

# pyright: standard

from backstay import App, Model, Rules, User


class Note(Model):
    """A note that is hidden or not."""

    hidden: bool = False

    def rules(self, me: User) -> Rules:
        return Rules(
            read=~self.hidden | me.has_role("staff"), update=~me.signed_in, create=~(~self.hidden & me.signed_in)
        )


app = App("inverted", models=[Note])
