"""The addresses."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from benchmarks.django_app.shop.views import OrderViewSet, ProductViewSet, PurchaseView, ReviewViewSet

router = SimpleRouter(trailing_slash=False)
router.register("api/products", ProductViewSet)
router.register("api/orders", OrderViewSet)
router.register("api/reviews", ReviewViewSet)
urlpatterns = [*router.urls, path("api/purchase", PurchaseView.as_view())]
