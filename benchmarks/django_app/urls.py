"""The addresses."""

from rest_framework.routers import SimpleRouter

from benchmarks.django_app.shop.views import OrderViewSet, ProductViewSet

router = SimpleRouter(trailing_slash=False)
router.register("api/products", ProductViewSet)
router.register("api/orders", OrderViewSet)
urlpatterns = router.urls
