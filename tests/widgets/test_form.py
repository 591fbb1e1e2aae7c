"""Forms made of parameters: every field holds what may be put in, and explains itself."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QLabel

from napari_deconv.background import estimate_background
from napari_deconv.errors import ParameterError
from napari_deconv.registry import Parameter, Range, methods, parameters_of, psf_models
from napari_deconv.widgets import psf_theory
from napari_deconv.widgets.boxes import NumberBox
from napari_deconv.widgets.fields import field_for
from napari_deconv.widgets.form import Form
from napari_deconv.widgets.form_parameters import form_parameters
from napari_deconv.widgets.weights_field import WeightsField

pytestmark = pytest.mark.gui

FORMS = {
    **{id_: form_parameters(entry) for id_, entry in methods().items()},
    "psf": psf_theory.form_parameters(),
    "background": parameters_of(estimate_background),
}


@pytest.fixture(params=FORMS)
def parameters(request):
    return FORMS[request.param]


@pytest.fixture
def form(qtbot, parameters):
    made = Form(parameters)
    qtbot.addWidget(made)
    return made


def test_every_field_explains_itself(form, parameters):
    for name, field in form.fields.items():
        assert parameters[name].help, name
        plain = next(word for word in parameters[name].help.split() if word.isalpha())
        assert plain in field.toolTip()
    for words in form.findChildren(QLabel):
        if words.text() and not words.parent().inherits("QAbstractSpinBox"):
            assert words.toolTip(), words.text()


def test_every_field_begins_with_its_default(form, parameters):
    for name, field in form.fields.items():
        if not parameters[name].required:
            assert field.value == parameters[name].default, name


def test_advanced_fields_wait_under_more(form, parameters):
    advanced = [name for name, each in parameters.items() if each.advanced]
    assert bool(advanced) == (form.more is not None)
    form.show()
    for name, field in form.fields.items():
        assert field.isVisible() == (name not in advanced), name
    if form.more is not None:
        form.more.button.click()
        assert all(field.isVisible() for field in form.fields.values())


def test_bounds_are_the_parameters(form, parameters):
    for name, field in form.fields.items():
        box = getattr(field, "box", None)
        low, high = parameters[name].range.lower, parameters[name].range.upper
        if hasattr(box, "maximum") and low is not None:
            assert box.minimum() == pytest.approx(low)
        if hasattr(box, "maximum") and high is not None and high < 2**31:
            assert box.maximum() == pytest.approx(high)


def test_values_go_in_and_out(qtbot):
    parameters = form_parameters(methods()["richardson-lucy"])
    form = Form(parameters)
    qtbot.addWidget(form)
    values = {
        "iterations": 12,
        "borders": "circular",
        "tolerance": 1e-7,
        "psf_centre": (3, 4, 5),
        "psf_background": 1.5,
        "gain": "auto",
        "tiles": (8, 32, 32),
        "memory_limit": 2.0,
        "seed": 5,
    }
    form.set_values(values)
    assert {name: form.values[name] for name in values} == values
    form.set_values({"tiles": None, "memory_limit": None, "psf_centre": "peak"})
    assert form.values["memory_limit"] is None
    assert form.values["psf_centre"] == "peak"
    # What is unknown or does not fit (any more) is left out.
    form.set_values({"iterations": -1, "borders": "none such", "unheard_of": 1})
    assert form.values["iterations"] == 12
    assert form.values["borders"] == "circular"


def test_what_does_not_fit_is_told(qtbot):
    form = Form(form_parameters(methods()["richardson-lucy"]))
    qtbot.addWidget(form)
    field = form.fields["psf_centre"]
    field.edit.setText("the middle")
    with pytest.raises(ParameterError, match="psf_centre"):
        form.values  # noqa: B018
    assert "psf_centre" not in form.valid_values()
    assert "psf_centre" in field.edit.toolTip()
    field.edit.setText("index")
    assert form.values["psf_centre"] == "index"
    assert "psf_centre" not in field.edit.toolTip()


def test_a_change_is_told_once(form, qtbot):
    told = []
    form.changed.connect(lambda: told.append(1))
    for field in form.fields.values():
        before = len(told)
        if hasattr(field, "edit"):
            field.edit.setText("1")
        elif isinstance(field, WeightsField):
            field.choose_file("mine.safetensors")
        elif hasattr(field, "manual"):
            (field.manual if field.automatic.isChecked() else field.automatic).setChecked(True)
        elif hasattr(field.box, "stepUp"):
            field.box.stepUp()
            if len(told) == before:
                field.box.stepDown()
        elif hasattr(field.box, "toggle"):
            field.box.toggle()
        elif field.box.count() > 1:
            field.box.setCurrentIndex((field.box.currentIndex() + 1) % field.box.count())
        else:
            continue
        assert len(told) == before + 1, field.parameter.name


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("1e-5", "Acceptable"),
        ("0,01", "Acceptable"),
        ("1e-", "Intermediate"),
        ("", "Intermediate"),
        ("7", "Intermediate"),
        ("abc", "Invalid"),
    ],
)
def test_number_box_takes_every_way_to_write_a_number(qtbot, text, state):
    box = NumberBox(Parameter("x", float, 1e-3, range=Range(1e-9, 0.5)))
    qtbot.addWidget(box)
    assert box.validate(text, 0)[0] == getattr(QValidator.State, state)


def test_number_box_shows_small_numbers(qtbot):
    box = NumberBox(Parameter("x", float, 1e-3, unit="um", range=Range(1e-9, 0.5)))
    qtbot.addWidget(box)
    box.setValue(1e-7)
    assert box.text() == "1e-07 µm"
    assert box.value() == pytest.approx(1e-7)


def test_the_wheel_passes_a_field_by(qtbot):
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    field = field_for(Parameter("x", int, 5, help="A number.", range=Range(0, 10)))
    qtbot.addWidget(field)
    field.show()
    field.box.clearFocus()
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(field.box, event)
    assert field.value == 5


def test_numbers_by_key_are_typed(qtbot):
    parameter = psf_models()["pupil"].parameters["aberrations"]
    field = field_for(parameter)
    qtbot.addWidget(field)
    assert field.value == {}
    field.edit.setText("5=0.05, 8=-0.1")
    assert field.value == {5: 0.05, 8: -0.1}
    assert field.edit.styleSheet() == ""
    field.edit.setText("5=50")
    assert "between -10 and 10 waves" in field.edit.toolTip()
    with pytest.raises(ParameterError, match="between -10 and 10 waves"):
        field.value  # noqa: B018
    field.set_value({11: 0.2})
    assert field.edit.text() == "11=0.2"
    assert field.value == {11: 0.2}
