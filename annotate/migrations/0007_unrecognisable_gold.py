
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotate', '0006_answer_guard'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='goldpair',
            name='gold_that_is_shown',
        ),
        migrations.AddField(
            model_name='round',
            name='may_be_chosen',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='videosample',
            name='shown_path',
            field=models.CharField(blank=True, db_default='', max_length=255),
        ),
        migrations.AlterField(
            model_name='exposure',
            name='annotator',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='exposures', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='exposure',
            name='is_less_on_both',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name='exposure',
            index=models.Index(fields=['annotator', '-id'], name='met_by_annotator'),
        ),
        migrations.AddIndex(
            model_name='goldpair',
            index=models.Index(condition=models.Q(('repeats', None), ('retired_at', None)), fields=['track', 'is_training'], name='gold_that_is_shown'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.CheckConstraint(condition=models.Q(('may_be_chosen', False), ('kind', 'preference'), _connector='OR'), name='annotate_round_comparisons_are_not_chosen'),
        ),
    ]
