"""From an App and a plugin to the objects that should exist: loading, validation, templates, manifests. Pure: no I/O.

(The one exception is ``plugin.bundle.load_folder``, which reads a plugin's folder.) Order of use: ``plugin`` gives the
bundle, ``validation`` says what is wrong with the App, ``desired`` says what should run, ``manifests`` gives the
objects.
"""
