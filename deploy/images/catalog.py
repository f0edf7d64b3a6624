"""The images: what each is called, what it stands on, and what goes into it. Pure data.

Tags are versions: of the middleware inside, or of the platform. The middleware images hold nothing of ours.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REGISTRY = "middleware.local"

# Our packages, in the one place that decides what an image of ours holds.
AGENT_PACKAGES = ("agent", "language", "proto")
PLATFORM_PACKAGES = (
    "api",
    "clients",
    "language",
    "render",
    "workflows",
    "activities",
    "watcher",
    "worker",
    "proto",
    "cli",
    "plugins",
)

# What the agent imports beside the standard library; their own requirements follow from the lock.
AGENT_REQUIREMENTS = ("grpcio", "grpcio-health-checking", "jinja2", "protobuf")


@dataclass(frozen=True)
class Image:
    """One image.

    `suite` is the Debian release below it, `sources` the repository's folders copied as our packages, `requirements`
    the packages installed from the lock (None: none at all; empty: the whole lock), `folder` the
    recipe of somebody else's image (None: the one here that has the image's name).
    """

    name: str
    tag: str
    suite: str
    sources: tuple[str, ...] = ()
    requirements: tuple[str, ...] | None = None
    folder: Path | None = None

    @property
    def reference(self) -> str:
        """The name by which Kubernetes knows the image."""
        return f"{REGISTRY}/{self.name}:{self.tag}"

    @property
    def label(self) -> str:
        """The name by which a person asks for it on the command line, and of its files."""
        return f"{self.name}-{self.tag}"


def platform_version(repository: Path = REPOSITORY) -> str:
    """The version in pyproject.toml, which is also the tag of the images of ours."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def catalog(repository: Path = REPOSITORY) -> list[Image]:
    """All images, in the order in which a new cluster needs them."""
    version = platform_version(repository)
    return [
        Image("platform", version, "bookworm", PLATFORM_PACKAGES, ()),
        Image("agent", version, "bookworm", AGENT_PACKAGES, AGENT_REQUIREMENTS),
        Image("redis", "7.0", "bookworm"),
        Image("redis", "6.0", "bullseye"),
        Image("redis", "8.0", "trixie"),
        Image("zookeeper", "3.8", "bookworm"),
    ]


def select(names: list[str] | tuple[str, ...], images: list[Image]) -> list[Image]:
    """The images that the names ask for: a full reference, `redis:7.0`, or `redis` for all its tags; none means all.

    Raises ValueError with the known names where one fits nothing.
    """
    if not names:
        return images
    chosen: list[Image] = []
    for name in names:
        short = name.removeprefix(f"{REGISTRY}/")
        fitting = [image for image in images if short in (image.name, f"{image.name}:{image.tag}")]
        if not fitting:
            known = ", ".join(f"{image.name}:{image.tag}" for image in images)
            raise ValueError(f"there is no image {name!r}; known are {known}")
        chosen += [image for image in fitting if image not in chosen]
    return chosen
