"""The paper's figures, in plotly, from recorded runs or from live ones."""
