"""What the platform and the agents share: the expression language of plugins, and how positions compare.

The platform renders files and checks plugins with the language, the agents evaluate it at the moment of use. It is
Jinja2 and nothing else of ours: what is imported here is also in every Pod, and only from Jinja2's own modules: the
package itself, which leads to pickle and tempfile, is empty in the agents' bundle.
"""
