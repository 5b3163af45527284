"""Constraints: ensembles of networks that predict a quantity of the relaxed structure of a crystal graph, with an uncertainty. They relax nothing.

`LearnedConstraint` is complete except for the name of the quantity. The loop trains `HullConstraint`. `FormationEnergyConstraint` is the published
constraint. A new one needs a class of one line and values to learn: `examples/second_constraint.py`.

The ensemble comes from cross-validation. Member k trains on all folds except two. Fold k + 1 decides when it stops. Its error is measured on fold k,
which it has not seen. A fold contains whole families of structures. So every structure has a prediction by one network that did not learn it, and
by two networks that used no gradient from it. Their error and their spread calibrate the uncertainty.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.errors import TooFewExamplesError, WeightsError
from ccdcgan_al.models import runtime
from ccdcgan_al.models.constraint_networks import build_image_network, build_pair_network, train_ensemble
from ccdcgan_al.models.pair_correlations import elements_in_use, n_features, pair_correlations
from ccdcgan_al.types import FloatArray

if TYPE_CHECKING:
    import keras

BATCH = 1024  # number of graphs whose inputs are computed at once
FEWEST_FOLDS = 3  # one for training, one for stopping, one for the error
_SAME = 1e-3  # standard deviations: settings whose inputs differ by less are the same for a network
_KEPT = ("n_elements", "mean", "scale", "calibration", "held_out_mae", "held_out_count", "epochs_run")


@dataclass(frozen=True)
class ConstraintSettings:
    """Training settings of a constraint.

    Attributes
    ----------
    members : int
        Number of networks in the ensemble.
    networks : {"pairs", "image"}
        ``pairs``: a 1-D CNN on the pair correlations of a `fast` graph. ``image``: a 2-D CNN on the graph of any codec, as published.
    epochs : int
        Maximum number of passes over the training graphs, each without replacement.
    patience : int
        A member stops if its validation error has not fallen for this number of epochs. It keeps the weights of its best epoch.
    batch_size : int
        Number of graphs in a batch.
    learning_rate, weight_decay : float
        Settings of AdamW (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101). The rate falls along a cosine.
    filters : int
        Number of filters of the first convolution. The second has twice as many.
    other_settings : float
        Weight in the loss of a structure's other settings, such as the unrelaxed one. The first setting has the weight 1.
    """

    members: int = 6
    networks: Literal["pairs", "image"] = "pairs"
    epochs: int = 100
    patience: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    filters: int = 16
    other_settings: float = 0.1

    def __post_init__(self) -> None:
        if self.members < 2:  # noqa: PLR2004  a spread needs two
            raise ValueError(f"the constraint's ensemble needs at least 2 members, got {self.members}")
        if self.networks not in ("pairs", "image"):
            raise ValueError(f"the constraint's networks are 'pairs' or 'image', got {self.networks!r}")


def assign_folds(families: Sequence[str], folds: int) -> NDArray[np.int_]:
    """Assign structures to folds. A family (one prototype with all its copies) is never split. The largest families come first.

    Parameters
    ----------
    families : sequence of str
        One label for each structure.
    folds : int
        Number of folds.

    Returns
    -------
    numpy.ndarray
        Fold of each structure, int (n_structures,).
    """
    counts: dict[str, int] = {}
    for family in families:
        counts[family] = counts.get(family, 0) + 1
    load = [0] * folds
    fold_of: dict[str, int] = {}
    for family in sorted(counts, key=lambda f: (-counts[f], hashlib.sha256(f.encode()).hexdigest())):
        fold_of[family] = load.index(min(load))
        load[fold_of[family]] += counts[family]
    return np.array([fold_of[family] for family in families], dtype=int)


def rows_to_learn(inputs: FloatArray, other_settings: float) -> tuple[NDArray[np.int_], FloatArray]:
    """Choose the settings to learn from. If several settings are the same for the networks, only the first counts.

    Parameters
    ----------
    inputs : numpy.ndarray
        Standardised inputs, (n_structures, n_settings, ...).
    other_settings : float
        Weight of a setting that is not a structure's first. The first has the weight 1.

    Returns
    -------
    rows : numpy.ndarray
        (structure, setting), int (n_rows, 2).
    weights : numpy.ndarray
        Weight of each row, float32 (n_rows,).
    """
    rows, weights = [], []
    for i, settings in enumerate(inputs):
        kept: list[int] = []
        for j, values in enumerate(settings):
            if all(np.abs(values - settings[other]).max() > _SAME for other in kept):
                kept.append(j)
        rows += [(i, j) for j in kept]
        weights += [other_settings if j else 1.0 for j in kept]
    return np.array(rows), np.array(weights, dtype=np.float32)


class LearnedConstraint:
    """Ensemble of networks that predicts a quantity from a crystal graph. A subclass names the quantity.

    Parameters
    ----------
    side : int
        Side of the crystal graphs.
    settings : ConstraintSettings, optional
        Training settings.
    n_elements : int, optional
        Number of elements in the graphs. None means that `fit` determines it.

    Attributes
    ----------
    quantity : str
        Name of the predicted quantity, and its unit.
    held_out_mae : float or None
        Mean absolute error on held-out structures, in the quantity's unit. None before training.
    held_out_count : int
        Number of held-out structures.
    calibration : float
        Factor that scales the members' standard deviation to the size of the error.
    epochs_run : list of int
        Best epoch of each member.
    """

    quantity: ClassVar[str] = "a quantity"

    def __init__(self, side: int, settings: ConstraintSettings | None = None, n_elements: int | None = None) -> None:
        self.side = side
        self.settings = settings or ConstraintSettings()
        self.given_elements = n_elements
        self.mean = 0.0
        self.scale = 1.0
        self.calibration = 1.0
        self.held_out_mae: float | None = None
        self.held_out_count = 0
        self.epochs_run: list[int] = []
        self._build(n_elements or 2)

    def _build(self, n_elements: int) -> None:
        """Create the networks for graphs of this number of elements."""
        self.n_elements = n_elements
        chosen = self.settings
        names = [f"constraint_{k}" for k in range(chosen.members)]
        self.networks: list[keras.Model]
        if chosen.networks == "image":
            self.networks = [build_image_network(self.side, chosen.filters, name) for name in names]
            self.input_mean = self.input_scale = np.zeros(0, dtype=np.float32)
        else:
            self.networks = [build_pair_network(n_elements, chosen.filters, name) for name in names]
            self.input_mean = np.zeros(n_features(n_elements), dtype=np.float32)
            self.input_scale = np.ones(n_features(n_elements), dtype=np.float32)

    def fit(self, graphs: FloatArray, values: FloatArray, families: Sequence[str]) -> None:
        """Train all members.

        Parameters
        ----------
        graphs : numpy.ndarray
            Float (n_structures, n_settings, side, side, 1). The settings of a structure have one value. The error is measured only on the first.
        values : numpy.ndarray
            Values to predict, float (n_structures,), in the quantity's unit.
        families : sequence of str
            One label for each structure. A family is never split between training and held-out structures.

        Raises
        ------
        TooFewExamplesError
            If there are fewer families than folds.
        ValueError
            If a value is not finite.
        """
        folds_needed = max(FEWEST_FOLDS, self.settings.members)
        if len(set(families)) < folds_needed:
            raise TooFewExamplesError(
                f"{len(set(families))} families of structures cannot be held out {folds_needed} times: more structures to learn from are needed"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{(~np.isfinite(values)).sum()} of {len(values)} values to learn are not finite numbers")
        flat = graphs.reshape(-1, self.side, self.side, 1).astype(np.float32)
        self._build(self.given_elements or elements_in_use(flat))
        inputs = self._inputs(flat)
        if self.settings.networks == "pairs":
            self.input_mean, self.input_scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-4
        self.mean, self.scale = float(np.mean(values)), float(np.std(values) + 1e-6)
        inputs = self._standardised(inputs).reshape(len(values), graphs.shape[1], *inputs.shape[1:])
        folds = assign_folds(families, folds_needed)
        # for pair networks, a setting that differs is another structure: the unrelaxed one
        rows, weights = rows_to_learn(
            inputs, self.settings.other_settings if self.settings.networks == "pairs" else 1.0
        )
        members = np.arange(self.settings.members)
        training = (folds != members[:, None]) & (folds != (members[:, None] + 1) % folds_needed)  # (members, n)
        stopping = folds == (members[:, None] + 1) % folds_needed
        target = ((values - self.mean) / self.scale).astype(np.float32)
        self.epochs_run = train_ensemble(
            self.networks,
            inputs[rows[:, 0], rows[:, 1]],
            target[rows[:, 0]],
            training[:, rows[:, 0]] * weights,
            (inputs[:, 0], target, stopping),
            epochs=self.settings.epochs,
            patience=self.settings.patience,
            batch_size=self.settings.batch_size,
            learning_rate=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
        )
        predicted = self._of_inputs(inputs[:, 0])  # (members, n)
        scored = folds < self.settings.members  # with fewer members than folds, all members learn the last folds
        held_out = predicted[folds[scored], np.flatnonzero(scored)]
        self.held_out_mae = float(np.mean(np.abs(held_out - values[scored])))
        self.held_out_count = int(scored.sum())
        self._calibrate(np.where(training, np.nan, predicted), values)

    def _calibrate(self, untaught: FloatArray, values: FloatArray) -> None:
        """Set the calibration factor. It scales the spread of members that did not learn a structure to the error of their mean (root mean squares).

        `untaught` is (members, n). It is nan if the member learnt the structure.
        """
        enough = np.isfinite(untaught).sum(axis=0) > 1
        if not enough.any():
            return
        error = np.nanmean(untaught[:, enough], axis=0) - values[enough]
        spread = np.nanstd(untaught[:, enough], axis=0, ddof=1)
        self.calibration = float(np.sqrt(np.mean(error**2) / max(np.mean(spread**2), 1e-12)))

    def _inputs(self, graphs: FloatArray) -> FloatArray:
        """Return the networks' inputs for graphs (n, side, side, 1), before standardisation."""
        if self.settings.networks == "image":
            return graphs
        parts = [pair_correlations(graphs[i : i + BATCH], self.n_elements) for i in range(0, len(graphs), BATCH)]
        return np.concatenate([part.numpy() for part in parts])

    def _standardised(self, inputs: Any) -> Any:
        """Return inputs in standard deviations of the training graphs. Far outliers are reduced to 5. It takes arrays and tensors."""
        if self.settings.networks == "image":
            return inputs
        import tensorflow as tf

        scaled = 5 * tf.tanh((inputs - self.input_mean) / (5 * self.input_scale))
        return scaled.numpy() if isinstance(inputs, np.ndarray) else scaled

    def _of_inputs(self, inputs: FloatArray) -> FloatArray:
        """Return the predictions of each member from standardised inputs, (members, n), in the quantity's unit."""
        parts = [
            np.array([network(inputs[i : i + BATCH], training=False).numpy()[:, 0] for network in self.networks])
            for i in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts, axis=1) * self.scale + self.mean

    def predict(self, graphs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Predict the quantity of crystal graphs.

        Parameters
        ----------
        graphs : numpy.ndarray
            Crystal graphs, float (n, side, side, 1).

        Returns
        -------
        mean : numpy.ndarray
            Mean of the members, float (n,), in the quantity's unit.
        standard_deviation : numpy.ndarray
            Calibrated standard deviation of the members, float (n,), in the same unit.
        """
        if len(graphs) == 0:
            return np.zeros(0), np.zeros(0)
        members = self._of_inputs(self._standardised(self._inputs(np.asarray(graphs, dtype=np.float32))))
        return members.mean(axis=0), self.calibration * members.std(axis=0, ddof=1)

    def __call__(self, graphs: Any) -> Any:
        """Return the differentiable mean prediction in the quantity's unit, tensor (n, 1). The networks are frozen in inference mode."""
        inputs = graphs
        if self.settings.networks == "pairs":
            inputs = self._standardised(pair_correlations(graphs, self.n_elements))
        total = sum(network(inputs, training=False) for network in self.networks)
        return total / len(self.networks) * self.scale + self.mean

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of an untrained constraint, for Keras. `to_bytes` has the trained networks."""
        return {"side": self.side, "settings": asdict(self.settings), "n_elements": self.given_elements}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return an untrained constraint from the result of `get_config`."""
        return cls(config["side"], ConstraintSettings(**config["settings"]), config["n_elements"])

    def to_bytes(self) -> bytes:
        """Return the whole ensemble as one archive of numbers and JSON."""
        head = {"quantity": self.quantity, "side": self.side, "settings": asdict(self.settings)}
        head |= {key: getattr(self, key) for key in _KEPT}
        inputs = io.BytesIO()
        np.savez(inputs, allow_pickle=False, mean=self.input_mean, scale=self.input_scale)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("head.json"), json.dumps(head, sort_keys=True))
            archive.writestr(zipfile.ZipInfo("inputs.npz"), inputs.getvalue())
            for k, network in enumerate(self.networks):
                archive.writestr(zipfile.ZipInfo(f"member{k}.npz"), runtime.pack_weights(network))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Load a constraint from the bytes of `to_bytes`.

        Parameters
        ----------
        blob : bytes
            Archive of `to_bytes`.

        Returns
        -------
        LearnedConstraint
            Constraint that gives the same predictions as the stored one, bit for bit.

        Raises
        ------
        WeightsError
            If the bytes are truncated or foreign, or are a constraint of another quantity.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(blob)) as archive:
                head = json.loads(archive.read("head.json"))
                if head["quantity"] != cls.quantity:
                    raise WeightsError(  # noqa: TRY301  beside the checks it belongs to
                        f"a constraint of {head['quantity']}; wanted one of {cls.quantity}"
                    )
                constraint = cls(head["side"], ConstraintSettings(**head["settings"]))
                constraint._build(head["n_elements"])
                for k, network in enumerate(constraint.networks):
                    runtime.unpack_weights(network, archive.read(f"member{k}.npz"))
                with np.load(io.BytesIO(archive.read("inputs.npz")), allow_pickle=False) as inputs:
                    constraint.input_mean, constraint.input_scale = inputs["mean"], inputs["scale"]
                for key in _KEPT:
                    setattr(constraint, key, head[key])
        except WeightsError:
            raise
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError, NotImplementedError) as error:
            raise WeightsError(f"{len(blob)} bytes are no constraint: {str(error)[:200]}") from error
        return constraint


class FormationEnergyConstraint(LearnedConstraint):
    """The formation energy of the relaxed structure of a crystal graph."""

    quantity = "formation energy (eV/atom)"


class HullConstraint(LearnedConstraint):
    """The energy above hull of the relaxed structure of a crystal graph: the formation energy without the part that depends only on the composition.

    Of 433 Bi-Se structures that it had not seen (before relaxation; 160 learnt), it ranked both prototypes and generated ones better than a predicted
    formation energy minus the hull's energy: `docs/ablation.md`.
    """

    quantity = "energy above hull (eV/atom)"
