"""A Django project that reports failed requests. Look at LOGGING in shop/settings.py.

python manage.py runserver, and open /checkout/
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)
