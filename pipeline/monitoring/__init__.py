"""What a model server was asked, beside what the model was trained on."""
