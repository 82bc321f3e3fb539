"""What is possible in the Fine-tune dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import MedsegError
from ..kit.state import Control, first, hint_text, unless

_REVIEWED = (
    "Numbers of the slices whose labels are right, such as 3-6, 9; only these are used. Slices that you "
    "paint on while this dock is open are added."
)
_STOP = "End the training with the best weights so far."
_STOP_AT_ONCE = "End the training now, at once; figures since the last ones are lost."
_DIFFERENCE = "Segment the image with both models and show in a new layer what has changed."
_LABELS = "Segment the image with the new model and show the labels in a new layer."
_NO_COMMAND = "the data of open layers are written when you start; copy the command then."
_BUSY = {
    "difference": "the difference is being made.",
    "compare": "figures are being made.",
    "accept": "figures are being made.",
    "discard": "figures are being made.",
}


@dataclass(frozen=True)
class LayerFacts:
    """What is chosen of the layers in the viewer.

    Parameters
    ----------
    image : str, optional
        Name of the image.
    has_labels : bool
        Whether a labels layer is chosen.
    misfit : str
        Why these labels cannot be those of the image, or nothing can be learnt from it.
    slices_problem : str
        Why the numbers of the reviewed slices cannot be read.
    seen : bool
        Whether it is known what is on all layers.
    has_reviewed : bool
        Whether a slice of them is reviewed.
    numbered : bool
        Whether the labels of one of them number objects one by one.
    many_axes, many_layers : bool
        Whether the axes can mean several things, and further layers can be learnt.
    """

    image: str | None = "scan"
    has_labels: bool = True
    misfit: str = ""
    slices_problem: str = ""
    seen: bool = True
    has_reviewed: bool = True
    numbered: bool = False
    many_axes: bool = False
    many_layers: bool = False


@dataclass(frozen=True)
class FolderFacts:
    """What is known of the folder to learn from.

    Parameters
    ----------
    is_chosen, is_read : bool
    problem : str
        Why it cannot be learnt from.
    """

    is_chosen: bool = True
    is_read: bool = True
    problem: str = ""


@dataclass(frozen=True)
class RunFacts:
    """How far the training is that nobody has decided upon.

    Parameters
    ----------
    name : str
        Of the model that comes out.
    running, stopping : bool
        Whether its process is at work, and was asked to end.
    complete : bool
        Whether there is nothing to go on with.
    has_weights, has_figures : bool
        Whether there are a model, and figures of it.
    doubtful : bool
        Whether the model is not better.
    begins_with_chosen : bool
        Whether it began with the model that is chosen now.
    from_nothing : bool
        Whether it began without a model.
    """

    name: str
    running: bool = False
    stopping: bool = False
    complete: bool = True
    has_weights: bool = True
    has_figures: bool = True
    doubtful: bool = False
    begins_with_chosen: bool = False
    from_nothing: bool = False


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what it is doing.

    Parameters
    ----------
    models_read, has_model, from_nothing : bool
        Whether the list of models is complete, one is chosen, and a new one is to begin with nothing.
    was_tuned : bool
        Whether this dock made the chosen model.
    layers : LayerFacts
    folder : FolderFacts, optional
        If a folder is learnt from, and not the layers.
    name : str
        Of the new model.
    name_problem : str
        Why it cannot be called that.
    name_used : bool
        Whether there was a training of that name.
    classes_problem : str
        Why these classes cannot be learnt.
    forecast : str
        How many steps the chosen time will buy.
    has_plan : bool
        Whether there is something to say of what would be learnt.
    job : str
        Kind of the job under way.
    run : RunFacts, optional
        Of the training that nobody has decided upon.
    """

    models_read: bool = True
    has_model: bool = True
    from_nothing: bool = False
    was_tuned: bool = False
    layers: LayerFacts = LayerFacts()
    folder: FolderFacts | None = None
    name: str = ""
    name_problem: str = ""
    name_used: bool = False
    classes_problem: str = ""
    forecast: str = ""
    has_plan: bool = True
    job: str = ""
    run: RunFacts | None = None


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    card: Control
    roll_back: Control
    path: bool
    image: bool
    axes: bool
    labels: bool
    others: bool
    reviewed: Control
    one_class: bool
    painted_only: bool
    options: bool
    plan: bool
    forecast: str
    start: Control
    stop: Control
    resume: Control
    bar: bool
    difference: Control
    accept: Control
    discard: Control
    copy: Control
    save: Control
    hint: str


def why_not(facts: Facts) -> str:
    """Why no training can be started; empty if one can."""
    return first(
        unless(facts.models_read, "the models are being read."),
        unless(facts.job != "prepare", "the data are being written."),
        _no_layers(facts.layers) if facts.folder is None else _no_folder(facts.folder),
        unless(facts.has_model or facts.from_nothing, "There is no model to start from. Choose one."),
        facts.name_problem,
        unless(not facts.name_used, f"There was a training called '{facts.name}' already. Choose another name."),
        facts.classes_problem,
    )


def _no_folder(folder: FolderFacts) -> str:
    return first(
        unless(folder.is_chosen, "choose the folder of a data set first."),
        unless(folder.is_read, "the folder is being read."),
        folder.problem,
    )


def _no_layers(layers: LayerFacts) -> str:
    return first(
        unless(layers.image is not None, "open an image first, and draw labels on it."),
        layers.misfit,
        unless(layers.has_labels, f"there is no labels layer for {layers.image}. Add one and paint on some slices."),
        layers.slices_problem,
        unless(layers.seen, "the labels are being looked at."),
        unless(layers.has_reviewed, "no slice is reviewed. Paint on some, or add those whose labels are right."),
    )


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    run = facts.run
    layers = facts.layers
    from_layers = facts.folder is None
    planning = run is None and facts.job != "prepare"
    no_start = "" if run else why_not(facts)
    difference = _difference(facts)
    accept = _accept(facts)
    reasons = {"Start": no_start}
    if accept.visible:
        reasons |= {"Show difference": difference.why_not, "Accept": accept.why_not}
    return State(
        card=_card(facts),
        roll_back=_roll_back(facts),
        path=not from_layers,
        image=from_layers,
        axes=from_layers and layers.many_axes,
        labels=from_layers,
        others=from_layers and layers.many_layers,
        reviewed=Control(_REVIEWED, unless(layers.has_labels, "Choose labels first."), visible=from_layers),
        one_class=from_layers and layers.numbered,
        painted_only=from_layers,
        options=planning,
        plan=run is None and facts.has_plan,
        forecast=facts.forecast if planning and not no_start else "",
        start=Control("Train in the background; go on painting meanwhile.", no_start, visible=planning),
        stop=_stop(facts),
        resume=_resume(facts),
        bar=_is_training(facts) or facts.job in ("prepare", "compare", "difference"),
        difference=difference,
        accept=accept,
        discard=Control("Delete the new model and its training data.", _busy(facts), visible=accept.visible),
        copy=_copy(run),
        save=Control("Save what is chosen here as JSON.", "a training is under way." if run else no_start),
        hint=hint_text(reasons),
    )


def _card(facts: Facts) -> Control:
    no_card = "a new model has no card yet." if facts.from_nothing else "No model is chosen."
    return Control("What it is for, from what data, and how good.", unless(facts.has_model, no_card))


def _busy(facts: Facts) -> str:
    return _BUSY.get(facts.job, "")


def _is_training(facts: Facts) -> bool:
    return facts.run is not None and facts.run.running


def _has_ended(facts: Facts) -> bool:
    return facts.run is not None and not facts.run.running


def _no_model(facts: Facts) -> str:
    has_weights = facts.run is not None and facts.run.has_weights
    return first(_busy(facts), unless(has_weights, "it ended before there was a model."))


def _roll_back(facts: Facts) -> Control:
    in_use = ""
    if facts.run is not None and facts.run.begins_with_chosen:
        in_use = f"{facts.run.name} begins with it; decide about that first."
    return Control("Take this model from your own models; its files are kept.", in_use, visible=facts.was_tuned)


def _stop(facts: Facts) -> Control:
    visible = _is_training(facts) or facts.job == "prepare"
    if facts.run is not None and facts.run.stopping:
        return Control(_STOP_AT_ONCE, visible=visible, title="End at once")
    return Control(_STOP, visible=visible, title="Stop")


def _resume(facts: Facts) -> Control:
    unfinished = facts.run is not None and not facts.run.running and not facts.run.complete
    return Control("Go on with the training where it was interrupted.", _busy(facts), visible=unfinished)


def _difference(facts: Facts) -> Control:
    no_difference = first(_no_model(facts), unless(facts.layers.image is not None, "open an image first."))
    if facts.run is not None and facts.run.from_nothing:
        return Control(_LABELS, no_difference, visible=_has_ended(facts), title="Show labels")
    return Control(_DIFFERENCE, no_difference, visible=_has_ended(facts), title="Show difference")


def _accept(facts: Facts) -> Control:
    has_figures = facts.run is not None and facts.run.has_figures
    doubtful = facts.run is not None and facts.run.has_figures and facts.run.doubtful
    return Control(
        "Add the new model to your models; all others stay.",
        first(_no_model(facts), unless(has_figures, "there are no figures yet.")),
        visible=_has_ended(facts),
        title="&Accept all the same…" if doubtful else "&Accept",
    )


def _copy(run: RunFacts | None) -> Control:
    tooltip = "Copy the command line that trains the same, or goes on with it, without a window."
    return Control(tooltip, unless(run, _NO_COMMAND))


@dataclass(frozen=True)
class SliceState:
    """What the button for the slice in view says."""

    add: Control


def slice_state(number: int | None, reviewed: bool) -> SliceState:
    """The slice of this number can be added or taken out; None if there are no labels."""
    if number is None:
        return SliceState(Control("", "Choose labels first."))
    if reviewed:
        return SliceState(Control("Do not learn from the slice in view.", title=f"Remove slice {number}"))
    return SliceState(Control("The labels of the slice in view are right.", title=f"Add slice {number}"))


def problem(check: Callable[..., object], *given: object) -> str:
    """What `check` complains of; empty if of nothing."""
    try:
        check(*given)
    except MedsegError as error:
        return str(error)
    return ""
