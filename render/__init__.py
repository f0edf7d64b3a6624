"""From an App and a plugin to the objects that should exist: loading, validation, templates, manifests. Pure: no I/O.

(The one exception is ``bundle.load_folder``, which reads a plugin's folder.) Order of use: ``bundle`` gives the
plugin, ``validation`` says what is wrong with the App, ``desired`` says what should run, ``objects`` and ``node``
give manifests.
"""
