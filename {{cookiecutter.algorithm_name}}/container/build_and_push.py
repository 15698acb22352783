#!/usr/bin/env python3
"""Template: build the image and push it to Amazon ECR."""
