"""Phase `pairs`: the role of each position, and what is kept of the partner."""

from __future__ import annotations

import numpy as np

from tasks.pairs import roles


def test_roles_say_what_a_position_is():
    """A repeated word is numbered; the last token is "last" although the partner has another one there."""
    texts = np.array(["<s>", "The", " keys", " near", " the", " old", " the", " door"])
    tokens, partner = np.array([0, 1, 2, 3, 4, 5, 4, 6]), np.array([0, 1, 9, 3, 4, 5, 4, 7])
    names = roles(tokens, texts, partner, {0, 1, 3, 4})
    assert names.tolist() == ["first", "'The'", "contrast", "' near'", "' the'", "slot 1", "' the' 2", "last"]
    assert roles(tokens, texts, None, {0, 1, 3, 4})[2] == "slot 1"


def test_pairs_hold_the_partner(cells_of):
    """The tokens of the partner, and exactly its active features."""
    for coords, pair in cells_of["pairs"].pairs:
        row = cells_of["prompts"].one(coords)
        partner = {"prompt": str(row.partner.values)}
        np.testing.assert_array_equal(pair.partner_tokens, cells_of["prompts"].one(partner).tokens)
        theirs = cells_of["attribution"].one(partner)
        ours = np.stack([pair.partner_layer, pair.partner_place, pair.partner_index], axis=1)
        np.testing.assert_array_equal(ours, theirs.active_features)
        np.testing.assert_array_equal(pair.partner_activation, theirs.activation_values)
        role = pair.role.values.tolist()
        assert (role[0], role[-1]) == ("first", "last") and "contrast" in role
