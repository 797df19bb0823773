"""Where a run happens: folders, metadata and Beam's arguments. Nothing here changes its results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trust.keys import PRIVATE, PUBLIC

_LOCAL_RUNNER = "FnApiRunner"
# Without an image TFX packs itself for workers elsewhere, 2 s and 60 MB a component. Those of this
# runner are on this machine and take no image: the name is never looked up.
_NO_IMAGE = "--sdk_container_image=none"


@dataclass(frozen=True)
class Environment:
    """The places and the workers of a run, as a runner hands them to `create_pipeline`.

    Places are strings, since on a cluster they are addresses in an object store.
    """

    data_root: str  # holds `span-{SPAN}/v-{VERSION}/{split}/` of the data set
    pipeline_root: str  # TFX's artifacts
    serving_root: str  # `{serving_root}/{version}/` is what a model server polls
    also_test_root: str  # holds such folders of each further test set, below its name
    checkpoint_root: str  # unfinished trainings; it outlives the step that is killed
    # Folder of the keys with which Pusher signs; None signs nothing.
    keys: str | None = None
    # SQLite file of ML Metadata; None where no such store can be asked which model is the latest.
    metadata_path: str | None = None
    beam_args: tuple[str, ...] = field(default=())  # part of what TFX takes for the same work
    # Beam's options where something else than `beam_args` is to do its work. TFX does not see them:
    # another engine, or another port of one, gives the same results, and nothing is made anew.
    engine: tuple[str, ...] = ()
    code_root: str = str(Path(__file__).parents[1])  # holds `data/` and `modules/`
    # What TFX's Trainer calls, and what that is told beside the training's job.
    run_fn: str = "modules.trainer.run_fn"
    beside_job: Mapping[str, str] = field(default_factory=dict)
    # Whether data, steps and thresholds may be given anew to each run of the same pipeline.
    runtime_parameters: bool = False


@dataclass(frozen=True)
class Workspace:
    """A folder that holds everything that local runs make: deleting it leaves nothing behind.

    It may be moved: what is kept in it names no place outside. So the worker of a run has it as its
    current folder, and `Workspace(Path())` for its environment.
    """

    root: Path

    @property
    def data(self) -> Path:
        """`data/<data set>/span-N/v-M/`."""
        return self.root / "data"

    @property
    def also_test(self) -> Path:
        """`also_test/<further test set>/span-N/v-M/`."""
        return self.root / "also_test"

    @property
    def artifacts(self) -> Path:
        """`artifacts/<data set>/<component>/<output>/<execution>/`: what the components made."""
        return self.root / "artifacts"

    @property
    def metadata(self) -> Path:
        """ML Metadata: what was made from what."""
        return self.root / "metadata.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the one run that may use the workspace at a time."""
        return self.root / ".lock"

    def runs(self, pipeline: str) -> Path:
        """A folder for each run of the pipeline."""
        return self.root / "runs" / pipeline

    def run_directory(self, pipeline: str, run_id: str) -> Path:
        """Configuration, events and summary of one run."""
        return self.runs(pipeline) / run_id

    def log(self, run_id: str) -> Path:
        """What the libraries print during one run."""
        return self.root / "logs" / f"{run_id}.log"

    def serving(self, model: str) -> Path:
        """The base path of a model: pushed versions, each in a folder of its number."""
        return self.root / "serving" / model

    def examples(self, model: str) -> Path:
        """Images that the web page offers to try a model on, each named by its class."""
        return self.root / "examples" / model

    @property
    def tls(self) -> Path:
        """The certificate that `signs serve --self-signed` made; only its owner may look in."""
        return self.root / "tls"

    @property
    def keys(self) -> Path:
        """The keys that sign what is pushed, and verify what is served; nothing else makes them."""
        return self.root / "keys"

    @property
    def private_key(self) -> Path:
        """Signs; without it nothing is signed."""
        return self.keys / PRIVATE

    @property
    def public_key(self) -> Path:
        """Verifies; without it nothing is verified."""
        return self.keys / PUBLIC

    def environment(
        self, dataset: str, beam_args: tuple[str, ...] = (), *, signed: bool = False
    ) -> Environment:
        """The environment of a run on the given data set, whose model is `signed` with the keys.

        Without a runner among `beam_args` it is Beam's in-process one, by its name: what Beam
        takes by default first tries to download a program (Prism) and run on that.
        """
        local = (f"--runner={_LOCAL_RUNNER}", _NO_IMAGE)
        if beam_args and not any(arg.split("=")[0] == "--runner" for arg in beam_args):
            beam_args = (*local, *beam_args)
        return Environment(
            data_root=str(self.data / dataset),
            pipeline_root=str(self.artifacts / dataset),
            serving_root=str(self.serving(dataset)),
            also_test_root=str(self.also_test),
            checkpoint_root=str(self.artifacts / dataset / "checkpoints"),
            keys=str(self.keys) if signed else None,
            metadata_path=str(self.metadata),
            beam_args=local,
            engine=beam_args,
        )
