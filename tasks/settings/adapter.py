from tasks.inputs import resources as _r
from tasks.settings import config as c


class Profiles:
    def names(self):
        return c.profile_names()

    def describe(self, profile, settings):
        from tasks.settings.describe import describe

        return describe(profile, settings)

    def select(self, *a):
        return c.select(*a)

    def select_text(self, profile, transcoders, text, targets, against, settings):
        asked = {"text": text} if isinstance(text, str) else {"tokens": text}
        return c.select_text(
            profile, transcoders, c.Text(**asked, targets=targets, against=against), settings
        )


def coordinates(axis, config, resources):
    return config.coordinates(axis, resources)


def resources(selection, store):
    return _r.resources(selection, store.root)


class Machine:
    def out_of_memory(self, error):
        return isinstance(error, MemoryError)

    def free_memory(self):
        pass

    def description(self):
        return {"threads": 1, "device": "cpu"}


MACHINE = Machine()
